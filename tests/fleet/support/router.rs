//! HAProxy in front of the brokers, with the configuration that is shipped.
