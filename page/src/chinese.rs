//! The core's words in Chinese, in simplified characters. Each match is complete, so that a new reason or kind does not compile
//! without its translation. Ids, names of options and commands stay as they are.

use iotda_core::{
    explain::{Answer, Outcome},
    login::{Kind, Refusal, steps::Step},
};

/// What a step asks.
pub(crate) fn step(step: Step) -> &'static str {
    match step {
        Step::Rate => "该地址的失败登录次数不多",
        Step::ClientId => "ClientId 的格式为 {device_id}_0_{签名类型}_{YYYYMMDDHH}",
        Step::SignType => "签名类型被接受",
        Step::KeepAlive => "心跳被接受",
        Step::Username => "用户名等于 ClientId 中的设备 ID",
        Step::Device => "设备在密钥文件中",
        Step::Timestamp => "时间戳在有效期内",
        Step::Password => "密码与密钥和时间戳相符",
        Step::Certificate => "证书属于该设备",
        Step::NotFrozen => "设备未被冻结",
    }
}

/// What came of a step.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "通过".into(),
        Outcome::Failed { reason, facts } => {
            let facts: String = facts.iter().map(|fact| format!(" {fact}")).collect();
            format!("失败：{}{facts}", reason.id())
        }
        Outcome::NotReached => "未执行".into(),
        Outcome::NotApplicable => "不适用".into(),
        Outcome::PassedOrNotApplicable => "通过或不适用".into(),
        Outcome::NotChecked => "此处不检查：取决于服务器上之前的登录".into(),
        Outcome::NotKnown => "未知".into(),
    }
}

/// The verdict, what was recognised, and what to do: lines.
pub(crate) fn verdict(verdict: Answer) -> String {
    let mut text = match verdict {
        Answer::Accepted => "接受".to_owned(),
        Answer::Deferred { .. } => "交给服务器的密码文件和其他插件决定".to_owned(),
        Answer::Refused { reason, .. } => {
            let (id, code) = (reason.id(), reason.connack());
            format!(
                "拒绝：{id}（{}），CONNACK {}，MQTT 5 {:#04X}",
                refusal(reason).0,
                code.v3,
                code.v5
            )
        }
    };
    let known = verdict.kind();
    if let Some(found) = known {
        text += &format!("\n识别为：{}={}（{}）", found.field(), found.id(), kind(found).0);
    }
    let advice =
        known.map(|found| kind(found).1).or(verdict.reason().map(|reason| refusal(reason).1));
    if let Some(advice) = advice {
        text += "\n处理办法：";
        text += advice;
    }
    text
}

/// A reason in words, and what to do about it.
fn refusal(reason: Refusal) -> (&'static str, &'static str) {
    match reason {
        Refusal::RateLimited => (
            "该地址的失败登录过多，或该设备抢占自己的连接过多",
            "在日志中查看该地址之前的拒绝并解决其原因，然后让那里的客户端等一会儿；如果是 limit=takeovers，说明有两台设备在用同一个身份，请分别配置",
        ),
        Refusal::BadClientId => (
            "ClientId 不是 {device_id}_0_{签名类型}_{YYYYMMDDHH}",
            "让设备发送 iotda-auth connect-params 输出的内容；不是 IoTDA 设备的客户端需要 plugin_opt_other_clients defer",
        ),
        Refusal::BadSignType => (
            "此处不接受 ClientId 中的签名类型",
            "让设备使用签名类型 0、1 或 2，或在 plugin_opt_sign_types 中允许它的类型",
        ),
        Refusal::BadKeepAlive => {
            ("心跳不在允许的范围内", "把设备的心跳设为 30 到 1200 秒，或放宽 plugin_opt_keepalive")
        }
        Refusal::UserMismatch => (
            "用户名不是 ClientId 中的设备 ID",
            "让设备只用设备 ID 作为用户名；检查服务器没有设置 use_username_as_clientid",
        ),
        Refusal::UnknownDevice => (
            "设备不在密钥文件中",
            "如果是您的设备，请与 iotda-auth list 的结果逐字比较，或用 iotda-auth add 注册，然后重新加载服务器",
        ),
        Refusal::StaleTimestamp => (
            "时间戳过旧",
            "校准设备的时钟（UTC），并让设备每次连接时重新签名；做不到时调大 plugin_opt_timestamp_max_age，或使用签名类型 0",
        ),
        Refusal::FutureTimestamp => (
            "时间戳超前过多",
            "校准设备的时钟（使用 UTC，而不是本地时间），并检查服务器的时钟；或调大 plugin_opt_timestamp_max_ahead",
        ),
        Refusal::WrongPassword => (
            "密码与设备的密钥和时间戳不符",
            "与 iotda-auth connect-params 对同一时间戳的输出比较；如果不同，请重新给设备写入密钥，或用 iotda-auth reset-secret 登记设备现有的密钥",
        ),
        Refusal::NoCertificate => (
            "设备应使用证书登录，但没有出示证书",
            "让设备连接到 require_certificate true 的 TLS 监听端口并出示证书；或用密钥代替 x509= 注册该设备",
        ),
        Refusal::WrongCertificate => (
            "出示的证书不是该设备的证书",
            "如果证书属于该设备，把日志中 certificate= 后面的指纹写到密钥文件的 x509= 后面；第二个指纹可用逗号隔开",
        ),
        Refusal::Frozen => (
            "设备已被冻结",
            "如果是有意冻结，无需处理；否则用 iotda-auth unfreeze 解冻，然后重新加载服务器",
        ),
        Refusal::NotAsked => (
            "服务器没有询问插件就放行了客户端",
            "在设备使用的监听端口上去掉 use_identity_as_username 和 use_subject_as_username，让服务用密码登录；如果有其他插件放行登录，请把它放在本插件之后加载",
        ),
        Refusal::InternalError => (
            "插件内部错误",
            "在日志中查找同一时间的 panic，并连同该行以及插件和服务器的版本一起报告",
        ),
    }
}

/// A kind in words, and what to do about it.
fn kind(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Takeovers => (
            "设备抢占自己的连接过多",
            "有两台设备在用同一个身份：请分别配置 ID 和密钥，或调大 plugin_opt_takeover_limit",
        ),
        Kind::Empty => (
            "没有 ClientId，或 ClientId 为空",
            "让设备发送 ClientId：iotda-auth connect-params 会输出正确的值",
        ),
        Kind::Invented => (
            "像是服务器为空 ClientId 的客户端生成的名字",
            "检查设备是否发送了空的 ClientId（插件无法看到），并让它发送 iotda-auth connect-params 输出的内容",
        ),
        Kind::Epoch => (
            "时间戳像是 1970 年以来的秒数或毫秒数",
            "让设备在 ClientId 和密码的密钥中都使用 UTC 的 YYYYMMDDHH",
        ),
        Kind::NoDate => (
            "时间戳不是真实存在的日期",
            "让设备先校准时钟再签名，并使用 UTC 的 YYYYMMDDHH；没有时钟的设备可以使用签名类型 0",
        ),
        Kind::NoDevice => ("前面没有设备 ID", "让设备把 ID 放在最前面；检查是否给设备配置了 ID"),
        Kind::Long => (
            "超过 256 字节",
            "让设备发送不超过 128 个字符的 ID，后面只跟 iotda-auth connect-params 输出的内容",
        ),
        Kind::Blanks => ("ClientId 前后有空白字符", "去掉设备配置中的空白字符：检查开头和结尾"),
        Kind::Quotes => ("ClientId 带有引号", "去掉设备配置中的引号，或让固件正确解析 JSON 或命令"),
        Kind::Separators => ("各部分之间不是下划线", "让设备用下划线连接 ClientId 的各部分"),
        Kind::Identity => (
            "设备 ID 后面的身份类型不是 0",
            "让设备发送设备 ID 和身份类型 0；类型 2（节点 ID）和类型 3（网桥）不能在此登录",
        ),
        Kind::Tail => (
            "ClientId 后面还有内容",
            "让客户端原样发送 ClientId：有些客户端会附加时间或随机数，可以关闭（MQTTX：Client ID 旁边的时钟图标）",
        ),
        Kind::Digits => (
            "时间戳不是十位数字",
            "让设备使用 YYYYMMDDHH：十位数字，不含分和秒，月、日、小时不足两位时补零",
        ),
        Kind::Provisioning => {
            ("这是设备发放服务的 ClientId", "给设备配置正常登录的地址和密钥：这里不发放设备")
        }
        Kind::DeviceId => (
            "与用户名相同，可能只是设备 ID",
            "让设备在 ID 后面加上类型和小时，如 iotda-auth connect-params 的输出；如果所有设备都因此被拒绝，请去掉 mosquitto.conf 中的 use_username_as_clientid",
        ),
        Kind::Parts => (
            "缺少一部分，或应为一位数字的地方不是",
            "让设备发送全部四部分：ID、0、签名类型和小时，如 iotda-auth connect-params 的输出",
        ),
        Kind::OtherClient => (
            "不像设备的 ClientId",
            "如果不是 IoTDA 设备，设置 plugin_opt_other_clients defer，由密码文件或其他插件决定；如果是，让它发送 iotda-auth connect-params 输出的内容",
        ),
        Kind::RightButStale => (
            "对该时间戳来说密码正确",
            "设备重复使用第一次的登录信息，或时钟偏慢：让设备每次连接时重新签名并按 UTC 校准时钟；做不到时调大 plugin_opt_timestamp_max_age，例如 25h",
        ),
        Kind::RightButAhead => (
            "对该时间戳来说密码正确",
            "设备的时钟偏快或服务器的时钟偏慢：按 UTC 校准；设备做不到时调大 plugin_opt_timestamp_max_ahead",
        ),
        Kind::Missing => (
            "没有密码，或密码为空",
            "让设备连同用户名一起发送密码：iotda-auth connect-params 会输出正确的值",
        ),
        Kind::Malformed => (
            "不是 64 位小写十六进制数字",
            "让设备以 64 位小写十六进制数字发送 HMAC，如 iotda-auth connect-params 的输出：不是原始字节，不是 base64，前后没有其他内容",
        ),
        Kind::UpperCase => {
            ("密码正确，但使用了大写", "密钥正确：让设备用小写字母输出密码的十六进制数字")
        }
        Kind::QuotedPassword => ("密码正确，但带有引号", "密钥正确：让设备发送不带引号的密码"),
        Kind::BlankPassword => {
            ("密码正确，但前后有空白字符", "密钥正确：让设备发送不含空格和行尾 CR、LF 的密码")
        }
        Kind::Cut => (
            "密码正确，但被截断",
            "密钥正确：在设备中给密码更多空间；密码有 64 个字符，C 语言的字符串还需要一个结束符",
        ),
        Kind::PasswordTail => {
            ("密码正确，但后面还有内容", "密钥正确：让设备在 64 个字符后结束密码")
        }
        Kind::Secret => (
            "发送的是密钥本身，而不是 HMAC",
            "让设备发送密钥的 HMAC，如 iotda-auth connect-params 的输出；如果密钥未经 TLS 发送，可能已被他人读取，请同时更换密钥",
        ),
        Kind::Swapped => {
            ("HMAC 的密钥和消息颠倒了", "让设备用时间戳作为 HMAC 的密钥，用设备密钥作为消息")
        }
        Kind::SignType => (
            "按另一种签名类型生成",
            "让 ClientId 说明密码的生成方式：签名类型 0 和 1 是 HMAC-SHA256，2 是 HMAC-SM3",
        ),
        Kind::Hour => (
            "按前一小时或后一小时生成",
            "让设备用同一次读取的时钟生成 ClientId 和密码，并在每次连接时都重新发送",
        ),
        Kind::LocalTime => (
            "按相差若干小时的时间生成，可能是本地时间",
            "让设备在两处都使用 UTC 的小时：ClientId 和密码之一用了本地时间",
        ),
        Kind::Other => (
            "是其他密钥的 64 位十六进制数字，或以其他方式生成",
            "与 iotda-auth connect-params 对同一时间戳的输出比较；设备很可能使用了其他密钥：给它写入密钥文件中的密钥，或用 iotda-auth reset-secret 登记它自己的密钥",
        ),
    }
}
