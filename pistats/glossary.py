"""The words that piStats shows and what each one means: one place, so that every page says the same.

Pages show these on hover. A number that follows another definition is a bug of the number.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One word of the interface with the definition that its numbers follow."""

    name: str
    definition: str


GLOSSARY: dict[str, Term] = {
    "current_visitors": Term(
        "Current visitors",
        "Distinct visitors with an event in the last 5 minutes. Exact for small numbers, within 1.6 % for large ones.",
    ),
    "visitors_30m": Term("Visitors, 30 min", "Distinct visitors with an event in the last 30 minutes."),
    "views_per_minute": Term(
        "Views per minute",
        "Page views in each of the last 30 minutes, by event time. The last minute is still filling.",
    ),
    "visitor": Term(
        "Visitor", "A first-party id from the tracker, or a hash of site, network and browser that changes every day."
    ),
    "view": Term("View", "One page_view event."),
    "session": Term(
        "Session",
        "A visitor's events until 30 minutes pass without one, 24 hours at most. "
        "Not split at midnight nor by a campaign. By event time.",
    ),
    "bounce": Term("Bounce", "A session with one page view, no interactive event and under 10 seconds."),
    "event_count": Term("Events", "Everything that was sent: page views, engagement and events of any other name."),
    "cohort": Term("Cohort", "Visitors who were first seen in the same day, week or month."),
    "recurring_cohort": Term(
        "Recurring cohort", "Visitors who were active in the same day, week or month: one for each such period."
    ),
    "complete_through": Term("Complete through", "Everything received before this moment is in the numbers."),
    "weighted_mean": Term(
        "Weighted mean",
        "All who returned divided by all visitors of the cohorts, so that large cohorts count for more. "
        "Only periods that are over are in it.",
    ),
    "visit_duration": Term("Visit duration", "The sum of session lengths divided by sessions; a bounce counts as 0 s."),
    "engaged_time": Term("Engaged time", "Time with the tab visible and input in the last 5 seconds."),
    "bounce_rate": Term("Bounce rate", "Bounces divided by sessions."),
    "views_per_session": Term("Views per session", "Page views of the sessions divided by their number."),
    "period": Term(
        "Period",
        "Visitors, views and events count in the period in which they happen, sessions in the one in which they start. "
        "Days, weeks (from Monday) and months in the site's time zone. "
        "Visitors are distinct within each row, so rows do not add up to the total.",
    ),
    "sessions_by": Term(
        "Sessions by …",
        "By page: sessions that entered on the page. By event: sessions with such an event. "
        "By country, device, browser, OS, language: the first that is known of the session.",
    ),
    "by_session": Term(
        "By source, channel, campaign, entry or exit page",
        "Everything counts for its session's value. The source is that of the session's first arrival.",
    ),
    "funnel": Term(
        "Funnel",
        "Visitors who did the steps within the window, and their share of those who did the first one. "
        "The median is of the seconds since the step before, over each visitor's first way to the step.",
    ),
    "retention": Term(
        "Retention",
        "Visitors of a cohort that returned in a period, divided by the visitors of the cohort. "
        "A cohort is the period of the true first event ever. "
        "Calendar periods in the site's time zone; unfinished periods are marked, not zero.",
    ),
    "trending": Term(
        "Trending",
        "Topics with more events in the last 10 minutes than expected. "
        "The score is (count − expected) / √(expected + 1), "
        "where expected follows the whole site's traffic. At least 5 events or 1 % of the site, from 3 visitors. "
        "“New” when nothing was expected.",
    ),
    "lag": Term(
        "Seconds behind",
        "The age of the oldest event that is stored but not yet counted here. Zero when everything is counted.",
    ),
    "top_pages": Term("Top pages", "Paths by page views in the last 30 minutes."),
    "entry_page": Term(
        "Entry pages",
        "Pages on which visitors arrived in the last 30 minutes: from another site, a campaign or directly.",
    ),
    "channel": Term("Channel", "The kind of way by which a visit came: search, social, mail, an AI assistant, direct."),
    "source": Term(
        "Source", "Where the visit came from: the campaign's source, a search engine, a social network or another site."
    ),
    "country": Term("Country", "From the visitor's network address, which is truncated before anything is stored."),
    "device": Term("Device", "Desktop, mobile, tablet or TV, from the browser's user agent."),
    "browser": Term("Browser", "The family of the browser, from its user agent."),
    "event": Term("Event", "Anything sent under a name of its own: a sign-up, a purchase, a play."),
    "feed": Term("Live feed", "The latest events as they are counted, newest first."),
    "retention_mode": Term(
        "First, recurring",
        "First: a visitor is in the cohort of the first event ever. "
        "Recurring: in the cohort of every period of activity.",
    ),
    "retention_return": Term(
        "On, on or after",
        "On: came back in exactly that period. On or after: in that period or a later one.",
    ),
    "funnel_order": Term(
        "Order of a funnel",
        "In this order: one step after the other. Directly: with no other event between two steps.",
    ),
    "first_offset": Term("First offset", "The oldest record that the log of a partition still has."),
    "end_offset": Term("End offset", "One behind the newest record of a partition, as of two seconds ago at most."),
    "committed": Term("Committed", "The offset before which everything is counted."),
    "partition_lag": Term(
        "Lag",
        "End offset − committed offset, in events, and the age of the oldest event that waits.",
    ),
    "stored_per_s": Term("Events/s", "Events that were stored in the last full minute, divided by its seconds."),
    "epoch": Term(
        "Epoch",
        "A number that rises with every writer of a partition's log: who has an older one is refused.",
    ),
    "ledger": Term(
        "Ledger",
        "Every record has become one thing, and every event is in the warehouse or on its way there.",
    ),
    "append_minute": Term("Minute", "When the records were appended to the log."),
    "ledger_difference": Term(
        "Difference",
        "Appended less what became of it. Anything but 0 is lost or counted twice.",
    ),
    "archived": Term("Archived", "Events in the warehouse."),
    "waiting": Term("Waiting", "Events that are counted and on their way to the warehouse."),
    "unarchived": Term("Unarchived", "Counted less archived less waiting. Anything but 0 is an alarm."),
    "group_state": Term("State of a group", "Every page shows the live group; a shadow is consumed beside it."),
    "behind": Term("Behind", "Events of the log that a group has not counted yet, and the age of the oldest."),
    "stage": Term("Stage", "The step of the enrichment that gave up."),
}
"""Terms by key. Keys are used in code and tests; names and definitions are what people read."""
