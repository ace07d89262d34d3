"""Alerts: rules on series and events, who is told, and for how long nobody is."""
