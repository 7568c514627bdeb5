"""Measuring a server of channels with thousands of pages: for `channel-emu bench`, and for the scripts in bench/."""
