"""What a page is made of."""

from __future__ import annotations

from workbench.reporting.html import to_html


def test_outputs_are_text_unless_the_workbench_made_them() -> None:
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    hostile = "<script>alert(1)</script>\x1b[31m"
    outputs = [
        new_output("stream", text=hostile),
        new_output("display_data", data={"text/plain": hostile}),
        new_output(
            "display_data",
            data={"text/markdown": hostile, "application/javascript": "alert(1)", "text/plain": "x"},
        ),
        new_output("error", ename="E", evalue=hostile, traceback=[hostile]),
    ]
    notebook = new_notebook(cells=[new_code_cell("1", outputs=outputs)], metadata={"title": hostile})
    environment = {"name": hostile, "kind": "production", "where": hostile}
    page = to_html(
        notebook, {"environment": environment, "made_at": "2026-05-01T10:00:00"}, hostile, failed=hostile
    )
    assert "<script" not in page
    assert "alert(1)&lt;/script&gt;" in page
    assert "kind-production" in page
    assert "\x1b" not in page
