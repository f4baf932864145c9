"""Say of a folded cell what it holds: a reader who looks for the check must not open the solution."""

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

NAMES = {"tag_solution": "the solution", "tag_check": "the check"}


class FoldNames(SphinxPostTransform):
    """Name a fold by its cell's tag, before MyST-NB makes the folds (its priority is 199)."""

    default_priority = 190
    formats = ("html",)

    def run(self, **kwargs):
        """Replace the prompts of folded cells, such as "Show code cell content"."""
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell.get("hide_mode"):
                name = next((name for tag, name in NAMES.items() if tag in cell["classes"]), "the code")
                cell["prompt_show"], cell["prompt_hide"] = f"Show {name}", f"Hide {name}"


def setup(app):
    app.add_post_transform(FoldNames)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
