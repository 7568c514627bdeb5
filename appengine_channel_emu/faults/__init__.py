"""Faults on request (behaviour.md 10). The gate, which knows HTTP, is not imported here: the broker has faults too."""

from appengine_channel_emu.faults.faults import ACTIONS, STAGES, BadFault, Fault, Faults, Target, parse_fault

__all__ = ["ACTIONS", "STAGES", "BadFault", "Fault", "Faults", "Target", "parse_fault"]
