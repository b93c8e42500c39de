"""The address of a page: a link is taken at its word, a page that is opened without parameters remembers."""

from dashboard.query_state import MAX_VALUES, settled

MEMORY = {
    "history": {"site": ("a",), "period": ("30d",), "filter": ("country:IN",), "by": ("page",)},
    "funnel": {"site": ("b",), "step": ("signup", "purchase")},
}


def test_a_link_is_taken_at_its_word() -> None:
    assert settled({"site": ["b"], "period": ["7d"]}, {}, "history", None) == {"site": ("b",), "period": ("7d",)}


def test_on_the_same_page_what_is_not_in_the_address_is_the_default() -> None:
    assert settled({"site": ["a"]}, MEMORY, "history", "history") == {"site": ("a",)}


def test_the_site_the_dates_and_the_filters_go_along_to_another_page() -> None:
    expected = {"site": ("a",), "period": ("30d",), "filter": ("country:IN",)}
    assert settled({}, MEMORY, "retention", "history") == expected


def test_a_page_gets_its_own_parameters_back_but_the_site_that_was_chosen_last() -> None:
    shown = settled({}, MEMORY, "funnel", "history")
    assert shown["step"] == ("signup", "purchase")
    assert shown["site"] == ("a",)


def test_a_page_opened_with_parameters_takes_only_the_site_along() -> None:
    assert settled({"visitor": ["v"]}, MEMORY, "visitor", "history") == {"site": ("a",), "visitor": ("v",)}


def test_what_the_address_says_wins_over_what_is_remembered() -> None:
    assert settled({"site": ["c"]}, MEMORY, "retention", "history") == {"site": ("c",)}


def test_an_overlong_address_is_cut() -> None:
    values = settled({"filter": ["x" * 9_999] * 999}, {}, "history", None)["filter"]
    assert len(values) == MAX_VALUES
    assert len(values[0]) == 2_048
