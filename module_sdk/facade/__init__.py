"""The facade: settings, the configured manager, sessions, events, and lookups that never raise."""
