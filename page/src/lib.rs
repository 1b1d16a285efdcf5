//! The parameter page: makes a device's login, and says why one is refused, by the code that the broker runs. `./dev page` puts
//! this, as WebAssembly, and page.html, page.css and page.js into one file.
//!
//! | module | the question it answers |
//! |---|---|
//! | `border` | how do requests and answers cross between JavaScript and this? |
//! | [`answer`] | which rows answer a request? |
//! | `make` | what does this device send? |
//! | `code` | how does a program or an AT module send it? |
//! | `explain` | why is this login accepted or refused? |
//! | `chinese` | what are the core's words in Chinese? |

pub mod answer;
mod border;
mod chinese;
mod code;
mod explain;
mod make;
