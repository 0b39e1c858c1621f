"""Label Studio's labelling screen, with real mouse and keys. Places are in percent of the image."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

KEYPOINT = "KeyPointTool"
RECTANGLE = "RectangleTool"
ACCEPT = "[data-testid=bottombar-accept-suggestions-button]"
SUBMIT = "button[aria-label=submit], button[aria-label='Submit current annotation']"
UPDATE = "button[aria-label=update], button[aria-label='Update current annotation']"
PATIENCE_MS = 30_000
# There are three smart tools; one round through all of them finds any.
SMART_TOOLS = 4

IMAGE = "[...Htx.annotationStore.selected.names.values()].find(tag => tag.type === 'image')"
READY = f"""() => {{
  if (!window.Htx?.annotationStore?.selected) return false;
  const image = {IMAGE};
  return image && image.naturalWidth > 1 && image.stageWidth > 1 && Boolean(image.stageRef);
}}"""
PLACE = f"""([x, y]) => {{
  const image = {IMAGE}, stage = image.stageRef, frame = stage.container().getBoundingClientRect();
  return [
    frame.x + stage.x() + stage.scaleX() * image.stageWidth * x / 100,
    frame.y + stage.y() + stage.scaleY() * image.stageHeight * y / 100,
  ];
}}"""
ACTIVE_TOOL = f"""() => {{
  const tool = {IMAGE}.getToolsManager().allTools().find(tool => tool.selected);
  return tool ? [tool.toolName, Boolean(tool.dynamic)] : null;
}}"""
SHAPES = """kind => {
  const selected = Htx.annotationStore.selected;
  const shapes = kind === "suggestions" ? [...selected.suggestions.values()] : selected.regions;
  return shapes.map(shape => ({ id: shape.cleanId ?? shape.id, type: shape.type, labels: shape.labels }));
}"""
LABEL_POSITION = """([control, label]) => {
  const tags = [...Htx.annotationStore.selected.names.values()];
  const chips = tags.filter(tag => tag.children?.some(child => child.type === "label"))
    .flatMap(tag => tag.children.filter(child => child.type === "label").map(child => [tag.name, child.value]));
  return chips.findIndex(([name, value]) => name === control && value === label);
}"""
NATURAL_SIZE = f"() => {{ const image = {IMAGE}; return [image.naturalWidth, image.naturalHeight]; }}"


class LabellingPage:
    """One task, open for labelling."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        page.set_default_timeout(PATIENCE_MS)

    def log_in(self, email: str, password: str) -> None:
        self.page.goto(f"{self._url}/user/login/")
        self.page.fill("input[name=email]", email)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/user/login" not in url)

    def open(self, *, project: int, task: int) -> None:
        self.page.goto(f"{self._url}/projects/{project}/data?task={task}")
        self.page.wait_for_function(READY)

    def switch_on_auto_annotation(self, *, accepting: bool = False) -> None:
        """Turn the switches below the image, if they are not as wanted already."""
        if not self.page.evaluate("Htx.autoAnnotation"):
            self._switch("Auto-Annotation").click()
            self.page.wait_for_function("Htx.autoAnnotation")
        if self.page.evaluate("Htx.autoAcceptSuggestions") != accepting:
            self._switch("Auto-Accept Suggestions").click()
            self.page.wait_for_function("wanted => Htx.autoAcceptSuggestions === wanted", arg=accepting)

    def choose_smart_tool(self, tool: str) -> None:
        """Click the purple button, which goes through its tools, until this one is active."""
        for _ in range(SMART_TOOLS):
            if self.page.evaluate(ACTIVE_TOOL) == [tool, True]:
                return
            self.page.locator(".lsf-tool_smart").first.click()
        raise AssertionError(f"no smart {tool}; the active tool is {self.page.evaluate(ACTIVE_TOOL)}")

    def choose_label(self, label: str, *, control: str) -> None:
        position = self.page.evaluate(LABEL_POSITION, [control, label])
        assert position >= 0, f"{control} has no label {label}"
        chip = self.page.locator("span.lsf-label").nth(position)
        if "lsf-label_selected" not in (chip.get_attribute("class") or ""):
            chip.click()

    def click(self, x_pct: float, y_pct: float, *, negative: bool = False, into_region: bool = False) -> None:
        """Click; *into_region* holds Ctrl, without which a click into an accepted mask selects that instead."""
        keys = [key for key, held in (("Control", into_region), ("Alt", negative)) if held]
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.place(x_pct, y_pct))
        for key in reversed(keys):
            self.page.keyboard.up(key)

    def drag(self, left_pct: float, top_pct: float, right_pct: float, bottom_pct: float) -> None:
        """Draw a rectangle."""
        self.page.mouse.move(*self.place(left_pct, top_pct))
        self.page.mouse.down()
        self.page.mouse.move(*self.place((left_pct + right_pct) / 2, (top_pct + bottom_pct) / 2))
        self.page.mouse.move(*self.place(right_pct, bottom_pct))
        self.page.mouse.up()

    def place(self, x_pct: float, y_pct: float) -> tuple[float, float]:
        """Where on the page a place of the image is."""
        x, y = self.page.evaluate(PLACE, [x_pct, y_pct])
        return x, y

    def image_size(self) -> tuple[int, int]:
        """The image's width and height as the browser sees it."""
        width, height = self.page.evaluate(NATURAL_SIZE)
        return width, height

    def suggestions(self) -> list[dict[str, Any]]:
        return self.page.evaluate(SHAPES, "suggestions")

    def regions(self) -> list[dict[str, Any]]:
        return self.page.evaluate(SHAPES, "regions")

    def answer_to(self, act: Any) -> dict[str, Any]:
        """Do *act*, which sends a prompt, and wait until Label Studio has the backend's answer to it; the answer."""
        with self.page.expect_response(lambda response: "/interactive-annotating" in response.url) as answer:
            act()
        body = answer.value.json()
        assert "errors" not in body, body
        # The page draws the answer a moment after it has come.
        self.page.wait_for_timeout(300)
        return body["data"]

    def accept_suggestions(self) -> None:
        self.page.locator(ACCEPT).click()
        self.page.wait_for_function("Htx.annotationStore.selected.suggestions.size === 0")

    def submit(self) -> int:
        """Press Submit; the number of the annotation."""
        return self._save(SUBMIT, "POST")

    def update(self) -> int:
        """Press Update on an annotation that was submitted before."""
        return self._save(UPDATE, "PATCH")

    def colour_at(self, x_pct: float, y_pct: float) -> bytes:
        """What is painted around a place: a few pixels of a screenshot."""
        x, y = self.place(x_pct, y_pct)
        return self.page.screenshot(clip={"x": x - 3, "y": y - 3, "width": 6, "height": 6})

    def screenshot(self, path: Path) -> None:
        self.page.screenshot(path=path)

    def _switch(self, text: str) -> Locator:
        return self.page.get_by_text(text, exact=True)

    def _save(self, button: str, method: str) -> int:
        def is_saved(response: Any) -> bool:
            return "/annotations" in response.url and response.request.method == method

        with self.page.expect_response(is_saved) as saved:
            self.page.locator(button).first.click()
        assert saved.value.ok, saved.value.text()
        return int(saved.value.json()["id"])
