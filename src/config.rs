//! The config file: parsed, then validated; every default lives here.
