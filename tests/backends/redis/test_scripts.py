"""The Lua scripts are complete and are loaded from files of the package."""

from pathlib import Path

from analytics_kit.backends.redis import scripts

LUA = Path(scripts.__file__).parent / "lua"


def test_every_lua_file_is_part_of_a_script():
    parts = {part for parts in scripts.SCRIPTS.values() for part in parts}
    assert {path.stem for path in LUA.glob("*.lua")} == parts | {"take"}


def test_every_script_begins_with_the_prelude():
    prelude = (LUA / "prelude.lua").read_text(encoding="utf-8")
    assert all(source.startswith(prelude) for source in scripts.load_scripts().values())


def test_every_script_compiles(connection):
    for source in (*scripts.load_scripts().values(), scripts.load_script("take")):
        connection.script_load(source)
