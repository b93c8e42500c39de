"""The articles of the demo site and of the simulated visitors: invented, and the same in every run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Article:
    """One page: its address is `/section/slug`; `topic` is what may start trending."""

    section: str
    slug: str
    title: str
    topic: str
    summary: str
    author: str
    minutes: int

    @property
    def path(self) -> str:
        return f"/{self.section}/{self.slug}"


SITE_NAME = "The Daily Meridian"

SECTIONS = {
    "world": "World",
    "business": "Business",
    "technology": "Technology",
    "science": "Science",
    "sport": "Sport",
    "culture": "Culture",
    "travel": "Travel",
    "food": "Food",
}
"""Path and label of each section, in the order of the navigation."""

AUTHORS = ("Ama Mensah", "Jonas Weber", "Priya Raman", "Lucía Ortega", "Tom Okafor", "Mei Tanaka")


def _articles() -> tuple[Article, ...]:
    lines = Path(__file__).with_name("articles.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if not line.startswith("#")]
    return tuple(
        Article(section, slug, title, topic, summary, AUTHORS[n % len(AUTHORS)], 2 + n * 7 % 9)
        for n, (section, slug, title, topic, summary) in enumerate(rows)
    )


ARTICLES = _articles()
"""Every article, section by section."""

BY_PATH = {article.path: article for article in ARTICLES}


def in_section(section: str) -> tuple[Article, ...]:
    """The articles of a section, in the catalogue's order."""
    return tuple(article for article in ARTICLES if article.section == section)


def search(words: str) -> tuple[Article, ...]:
    """The articles that hold every word, in title, summary, topic or section; nothing for no words."""
    wanted = words.lower().split()
    if not wanted:
        return ()
    return tuple(
        a for a in ARTICLES if all(word in f"{a.title} {a.summary} {a.topic} {a.section}".lower() for word in wanted)
    )


def body(article: Article) -> tuple[str, ...]:
    """A few paragraphs: the summary, and invented ones that fit any story."""
    start = sum(map(ord, article.slug)) % len(_PARAGRAPHS)
    return article.summary, *(_PARAGRAPHS[(start + n) % len(_PARAGRAPHS)] for n in range(4))


_PARAGRAPHS = (
    "“We had planned for the worst week of the year,” said one of those who were there. “What we got was the "
    "best one, and nobody had thought of what to do with that.”",
    "The figures, published on Tuesday, cover eighteen months and were checked by two groups that did not know "
    "of each other. Both came within a tenth of a per cent of the same answer.",
    "It began with a letter. There was no reply for a month, then three on the same day, and by the end of "
    "that week the telephone in the back office had to be unplugged.",
    "Not everyone agrees. Critics say that it costs too much, takes too long and has been tried before. All "
    "three are true, the organisers answer, and none of them is a reason to stop.",
    "Walk down to the water in the early morning and you see what they mean: lights on in every second window, "
    "a queue at the kiosk, and somebody sweeping a step that was swept yesterday.",
    "What happens next depends on a vote in the autumn. Until then the old rules hold, and with them a habit "
    "of patience that visitors find either charming or impossible.",
    "The idea is older than it looks. A notebook from 1911, kept in the municipal archive, sketches the same "
    "plan in pencil, with one question mark in the margin.",
)
