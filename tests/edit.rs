//! Edits of the secrets file by the command line tool, while others edit, and when it is killed.
