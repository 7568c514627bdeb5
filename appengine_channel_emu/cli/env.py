"""``channel-emu env``: a running emulator's variables, for a shell."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from appengine_channel_emu.cli.emulator import EmulatorError, add_emulator_option, address_of, ask
from appengine_channel_emu.cli.parser import CLEAN_STOP, COULD_NOT_START, Parser
from appengine_channel_emu.environment import variables
from appengine_channel_emu.host.no_proxy import NAMES, PROXIES, with_no_proxy
from appengine_channel_emu.locations import COMPAT_PATH


def run(argv: Sequence[str]) -> int:
    """Print `export` lines for sh, bash and zsh."""
    parser = Parser(
        prog="channel-emu env",
        description='Print the variables of a running emulator as exports: eval "$(channel-emu env)"',
    )
    add_emulator_option(parser)
    parser.add_argument("--port", metavar="PORT", type=int, help="the same as --emulator 127.0.0.1:PORT")
    options = parser.parse(argv)
    if options.port is not None:
        options.emulator = f"127.0.0.1:{options.port}"
    address = address_of(parser, options)
    try:
        ask(address, "/_emu/health/live")
    except EmulatorError as error:
        print(f"channel-emu env: {error}", file=sys.stderr)
        return COULD_NOT_START
    exported = variables(address)
    if any(os.environ.get(name) for name in PROXIES):
        made = with_no_proxy(os.environ | exported)
        exported |= {name: made[name] for name in NAMES}
    for name, value in exported.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export PYTHONPATH={shlex.quote(str(COMPAT_PATH))}${{PYTHONPATH:+:$PYTHONPATH}}")
    return CLEAN_STOP
