"""The one place where parts are put together: bus, payloads, telemetry, coordinator, worker, supervisor.

It knows every part and no rule: whatever decides is in the parts.
"""
