"""The demo's own work, without a store: which files it takes, what it counts, how the counts become a report."""

from __future__ import annotations

import ast
import gc
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callboard.runtime.demo.folder import NoPythonFiles, standard_library, survey
from callboard.runtime.demo.index import UNPARSABLE, IndexedFile, index_source
from callboard.runtime.demo.report import Largest, MostImported, Tally, Unparsed

SOURCE = b'''# a comment

"""Text
# inside a text: the rule is about lines
"""
import os, os.path
from . import here
from .. import above
from ..sibling import thing


class A:
    async def f(self) -> None:
        def g() -> None: ...

    if True:
        def h(self): import json
    else:
        try:
            pass
        except ValueError:
            class B: ...
        finally:
            from json import loads  # not first on its line

match os.name:
    case "nt":
        def on_windows(): return (lambda: 1)
'''


def test_a_source_is_counted_through_every_kind_of_block() -> None:
    indexed = index_source(SOURCE, "pkg/sub/mod.py")

    assert (indexed.functions, indexed.classes, indexed.imports) == (4, 2, 6)
    assert indexed.modules == ["json", "os", "os.path", "pkg", "pkg.sibling", "pkg.sub"]


def test_code_lines_are_those_neither_blank_nor_beginning_with_a_hash() -> None:
    assert index_source(SOURCE, "a.py").code_lines == sum(
        1 for line in SOURCE.decode().splitlines() if line.strip() and not line.strip().startswith("#")
    )
    assert index_source(b"\xef\xbb\xbf# a comment behind a mark\r\n\x0c\r\nx = 1\ry = 2\r\n", "a.py").code_lines == 2


def test_an_empty_file_counts_nothing() -> None:
    assert index_source(b"", "a.py") == IndexedFile("a.py", 0, 0, 0, 0, [])


def test_a_relative_import_at_the_top_of_the_folder_names_the_folder() -> None:
    assert index_source(b"from . import a\nfrom ...far import b", "mod.py").modules == [".", "far"]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"print 'two'", id="syntax"),
        pytest.param(b"x = '\xff'", id="not utf-8"),
        pytest.param(b"# coding: no-such\nx = 1", id="unknown encoding"),
        pytest.param(b"x = 1\0", id="null byte"),
        pytest.param(b"(" * 5000 + b")" * 5000, id="too deep"),
        pytest.param(b"-" * 200_000 + b"1", id="too deep for the parser's stack"),
    ],
)
def test_text_that_is_no_python_raises_what_the_job_never_retries(source: bytes) -> None:
    with pytest.raises(UNPARSABLE):
        index_source(source, "a.py")


def test_files_parsed_in_many_threads_do_not_disturb_each_other() -> None:
    source = (standard_library() / "ast.py").read_bytes()
    alone = index_source(source, "ast.py")
    thresholds = gc.get_threshold()

    def change_threads(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0)  # a collection in the midst of parsing may run anybody's finalizer, which gives up the GIL

    gc.callbacks.append(change_threads)
    gc.set_threshold(500)
    try:
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda _: index_source(source, "ast.py"), range(16)))
    finally:
        gc.callbacks.remove(change_threads)
        gc.set_threshold(*thresholds)

    assert together == [alone] * 16


def test_a_parse_that_another_thread_disturbed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = index_source(SOURCE, "mod.py")
    parse, disturbed = ast.parse, [True, True]

    def parse_disturbed(source: bytes, filename: str) -> ast.Module:
        if disturbed:
            disturbed.pop()
            raise SystemError("AST constructor recursion depth mismatch (before=24, after=66)")
        return parse(source, filename)

    monkeypatch.setattr(ast, "parse", parse_disturbed)

    assert index_source(SOURCE, "mod.py") == alone


def test_a_survey_takes_python_files_and_leaves_out_what_is_installed(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", "a/notes.txt", "site-packages/x.py", "a/__pycache__/c.py", "a/.hidden/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "round").symlink_to(tmp_path)

    workload = survey(tmp_path)

    assert workload.paths == ("a/.hidden/d.py", "a/c.py", "b.py")
    assert workload.root == tmp_path.resolve()


def test_the_same_files_are_the_same_workload_and_changed_ones_another(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    first, again = survey(tmp_path), survey(tmp_path / ".")

    (tmp_path / "a.py").write_text("x = 10")
    changed = survey(tmp_path)

    assert (first.queue, first.job_id("a.py")) == (again.queue, again.job_id("a.py"))
    assert (first.queue, first.job_id("a.py")) != (changed.queue, changed.job_id("a.py"))
    assert first.job_id("a.py") != first.job_id("b.py")
    assert uuid.UUID(bytes=first.job_id("a.py")).version == 7


def test_a_folder_that_cannot_be_indexed_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file.py").touch()
    (tmp_path / "empty").mkdir()

    for folder, found in (("nowhere", "found nothing at"), ("file.py", "found a file at"), ("empty", "found no *.py")):
        with pytest.raises(NoPythonFiles, match=found.replace("*", r"\*")) as refused:
            survey(tmp_path / folder)
        assert "\n" not in str(refused.value)


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_name_that_is_no_utf_8_is_a_file_like_any_other(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.py")
    try:
        (tmp_path / name).write_text("x = 1")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")

    workload = survey(tmp_path)

    assert workload.paths == (name,)
    assert len(workload.job_id(name)) == 16


def test_the_standard_library_is_found_and_large() -> None:
    workload = survey(standard_library())

    assert len(workload.paths) > 400
    assert "ast.py" in workload.paths
    assert index_source((workload.root / "ast.py").read_bytes(), "ast.py").functions > 100
    assert not [path for path in workload.paths if "site-packages" in path]


def _file(path: str, code_lines: int, *modules: str) -> IndexedFile:
    return IndexedFile(path, code_lines, 2, 1, len(modules), list(modules))


def test_the_report_adds_up_and_ranks_the_same_in_any_order() -> None:
    files = [_file(f"m{number:02}.py", number // 2, "os", f"m{number % 3}") for number in range(12)]
    forward, backward = Tally(), Tally()

    for file in files:
        forward.add(file)
    for file in reversed(files):
        backward.add(file)
    forward.add_unparsed("z.py", "SyntaxError: no\n  such")
    backward.add_unparsed("z.py", "SyntaxError: no\n  such")

    report = forward.report()
    assert report == backward.report()
    assert (report.files, report.parsed, report.functions, report.classes, report.imports) == (13, 12, 24, 12, 24)
    assert report.code_lines == 30
    assert report.largest[:2] == [Largest("m10.py", 5, 2, 1), Largest("m11.py", 5, 2, 1)]
    assert len(report.largest) == 10
    assert report.most_imported == [MostImported("os", 12), *(MostImported(f"m{n}", 4) for n in range(3))]
    assert report.unparsed == [Unparsed("z.py", "SyntaxError: no such")]


def test_a_report_on_many_broken_files_stays_small() -> None:
    tally = Tally()

    for number in range(3000):
        tally.add_unparsed(f"{number:04}.py", "x" * 1000)

    report = tally.report()
    assert (report.files, report.parsed, len(report.unparsed)) == (3000, 0, 1000)
    assert all(len(file.why) == 300 for file in report.unparsed)
