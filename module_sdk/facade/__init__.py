"""What a call of the facade needs: the settings, the manager, the session, lookups that never raise."""
