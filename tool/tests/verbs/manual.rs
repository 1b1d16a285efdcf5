//! The man pages, as they are printed.

use crate::place::{Place, tool};

/// A page in plain text.
fn page(args: &[&str]) -> String {
    let said = tool(&[&["man"], args].concat());
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{args:?}");
    said.out.replace("\\-", "-").replace("\\(aq", "'")
}

/// The verbs that `--help` lists.
fn verbs() -> Vec<String> {
    let help = tool(&["--help"]).out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let verb = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    commands.lines().map(verb).filter(|verb| verb != "help").collect()
}

#[test]
fn each_verb_has_a_page_with_every_section() {
    let verbs = verbs();
    assert!(verbs.len() >= 13, "{verbs:?}");
    let tool_page = page(&[]);
    for verb in &verbs {
        let page = page(&[verb]);
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES"]
        {
            let title = section.split(' ').collect::<Vec<_>>().join(" ");
            let quoted = format!(".SH \"{title}\"");
            assert!(
                page.contains(&format!("\n.SH {title}\n")) || page.contains(&quoted),
                "{verb}: {section}: {page}"
            );
        }
        assert!(page.contains(&format!("\niotda-auth {verb} ")), "{verb} has no example: {page}");
        let (_, others) = page.split_once(".SH \"SEE ALSO\"").unwrap();
        assert!(others.contains("iotda-auth") && others.contains("iotda.secrets"), "{others}");
        assert!(tool_page.contains(&format!("iotda-auth-{verb}(1)")), "{verb}");
    }
    assert!(!tool_page.contains("iotda-auth-help"), "{tool_page}");
}

/// The page of the file's format has an example that is right.
#[test]
fn the_page_of_the_secrets_file_has_a_right_example() {
    let page = page(&["iotda.secrets"]);
    let (_, example) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap();
    let (example, _) = example.split_once(".fi\n").unwrap();
    let place = Place::new(example);
    tool(&["check", place.file()]).tells(0, &format!("{}: 4 devices\n", place.file()), "");
}
