"""An explorer on a page of JupyterLab, and what the browser complained of: for the tests here."""

import re


class ExplorerPage:
    """The first explorer that a selector finds, its controls by the beginning of their names."""

    def __init__(self, page, selector: str):
        self.page, self.complaints = page, []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self.complaints.append(f"{line.text} {line.location}")
                if line.type == "error" else None)
        self.explorer = page.locator(selector).first
        self.stage = self.explorer.locator("canvas.teachseg-stage")
        self.words = self.explorer.locator("[role=status]")

    def slider(self, name: str):
        """A control's line: label, handle and number."""
        label = self.page.locator("label", has_text=re.compile(f"^{name}"))
        return self.explorer.locator(".widget-hslider", has=label)

    def handle(self, name: str):
        return self.slider(name).locator(".noUi-handle")

    def number(self, name: str) -> float:
        return float(self.slider(name).locator(".widget-readout").inner_text())

    def switch(self, word: str):
        """A button of a row of switches."""
        return self.explorer.get_by_role("button", name=word, exact=True)

    def caption(self) -> str:
        return self.words.inner_text()

    def drawing(self) -> str:
        return self.explorer.locator(".widget-html-content > svg").evaluate("it => it.outerHTML")

    def check_complaints(self) -> None:
        """That nothing complained, and that a complaint would have been heard."""
        self.page.evaluate("console.error('heard')")
        self.page.wait_for_timeout(100)
        assert [one.split(" {")[0] for one in self.complaints] == ["heard"]
