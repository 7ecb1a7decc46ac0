"""What figures must look like."""

from matplotlib.figure import Figure
from matplotlib.text import Text


def check_text(figure: Figure) -> None:
    """Nothing is cut off, and no two texts or images overlap."""
    figure.draw_without_rendering()
    ticks = {tick for axes in figure.axes for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    found = (text for text in figure.findobj(Text) if isinstance(text, Text) and text not in ticks)
    texts = [text for text in found if text.get_visible() and text.get_text()]
    boxes = [text.get_window_extent() for text in texts] + [axes.get_window_extent() for axes in figure.axes]
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
