"""May this go out? One line, its reason, and the command that comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

from weekclose.reading import Row
from weekclose.review.words import counted, money, sentences

Verdict = dict[str, Any]


@dataclass(frozen=True)
class Situation:
    """What a verdict rests on. `totals` is a row per currency of the window, amounts in hundredths."""

    window: date
    is_frozen: bool
    is_latest: bool
    run: Row | None
    batch: Row | None
    rejected: Row | None
    frozen_by: str | None
    totals: Sequence[Row]
    checks: Sequence[Mapping[str, Any]]
    breaks: Sequence[Row]
    payout_on: date
    affected: str

    @property
    def red(self) -> list[Mapping[str, Any]]:
        return [check for check in self.checks if check["status"] == "fail"]

    @property
    def own_breaks(self) -> list[Row]:
        return [row for row in self.breaks if row["payout_window"] == self.window]

    def money(self, column: str) -> str:
        """What a column comes to, currency by currency."""
        return money((row[column], row["currency"]) for row in self.totals)

    def count(self, column: str) -> int:
        return sum(row[column] for row in self.totals)


def verdict_of(now: Situation) -> Verdict:
    """The headline of a window's page."""
    red = _red(now) if now.is_latest else None
    if red and not (now.is_frozen and _is_decided(now)):
        return red
    verdict = _of_window(now)
    if not red:
        return verdict
    # What has left is not called back by a check; the next window waits for it.
    tone = "warn" if verdict["tone"] == "good" else verdict["tone"]
    return verdict | {"tone": tone, "detail": f"{verdict['detail']} Since then: {red['headline']}."}


def _of_window(now: Situation) -> Verdict:
    if not now.is_frozen:
        return _due(now)
    if now.batch is None:
        return _verdict("idle", f"Window {now.window} is frozen and pays nobody", "No balance is payable.")
    return _BY_STATE[now.batch["state"]](now, now.batch)


def empty_verdict(
    run: Row | None, checks: Sequence[Mapping[str, Any]], coming: Row | None, zone: tzinfo | None
) -> Verdict:
    """The headline before there is a window to decide on."""
    red = [check for check in checks if check["status"] == "fail"]
    if red:
        return _stopped(red, "this build", "", "")
    if run and run["outcome"] == "failed":
        return _verdict("bad", "The last run failed", run["message"], "weekclose sunday")
    if zone is None:
        return _verdict(
            "idle",
            "Nothing is loaded and built yet",
            "Load the platform's files, then run a Sunday.",
            "weekclose load PATH",
        )
    if coming is None:
        return _verdict(
            "idle",
            "No window is settled here yet",
            "Name the first window to settle, settlement_start in dbt_project.yml.",
            "weekclose sunday",
        )
    closes = coming["reserve_closes_at"].astimezone(zone)
    return _verdict(
        "idle",
        "No window is due yet",
        f"Window {coming['payout_window']} is due when its reserve closes, {closes:%Y-%m-%d %H:%M %Z}: "
        "the Sunday run after that freezes it.",
    )


# -- red ---------------------------------------------------------------------------------------------


def _is_decided(now: Situation) -> bool:
    return now.batch is not None and now.batch["state"] not in ("frozen", "approved")


def _red(now: Situation) -> Verdict | None:
    """What bars the window; None when nothing does."""
    waiting = now.money("leaving")
    waits = f"{waiting} waits for {now.payout_on}." if waiting else ""
    if now.red:
        return _stopped(now.red, "this window", now.affected, waits)
    run = now.run
    if now.is_frozen or run is None or run["outcome"] not in ("failed", "refused"):
        return None
    if run["outcome"] == "failed":
        headline = "The last run failed: this window is not ready"
        return _verdict("bad", headline, run["message"], "weekclose sunday")
    return _verdict("bad", f"The freeze was refused: {run['message']}", waits, "weekclose sunday")


def _stopped(red: Sequence[Mapping[str, Any]], what: str, affected: str, waits: str) -> Verdict:
    # What was wrong before a model broke is told by the checks; a model that broke, when it is all there is.
    first, *others = [check for check in red if check["kind"] != "model"] or red
    checks = f"{len(others) + 1} checks stop" if others else "1 check stops"
    found = f"{first['failures']:,} found" if first["failures"] else first["message"]
    return _verdict(
        "bad",
        f"{checks} {what}{f': {affected}' if affected else ''}",
        sentences(f"{first['name']}: {found}.", first["protects"], waits),
        "weekclose sunday",
    )


# -- not red -----------------------------------------------------------------------------------------


def _due(now: Situation) -> Verdict:
    if now.run and now.run["outcome"] == "running":
        return _verdict(
            "warn", "A run is going on, or was killed", "Wait for it, or run it again.", "weekclose sunday"
        )
    going = f"{now.money('leaving') or 'nothing'} would go out on {now.payout_on}"
    return _verdict(
        "warn", f"Window {now.window} is due and not frozen", f"Built and green: {going}.", "weekclose sunday"
    )


def _frozen(now: Situation, batch: Row) -> Verdict:
    if not now.count("ready"):
        return _verdict("idle", "Nothing is ready to go out", _blocked(now))
    breaks = len(now.own_breaks)
    lead = f"{counted(breaks, 'break')} to look at, then ready" if breaks else "Ready"
    four_eyes = f"{now.frozen_by} froze it: another person approves."
    return _verdict(
        "warn" if breaks or now.rejected or _warnings(now) else "good",
        f"{lead} to approve: {_going(now)}",
        sentences(_breaks(now), _blocked(now), _warnings(now), _rejected(now), four_eyes),
        f"weekclose approve {now.window} --digest {batch['content_digest']}",
    )


def _approved(now: Situation, batch: Row) -> Verdict:
    return _verdict(
        "good",
        f"Approved by {batch['approved_by']}: {_going(now)}",
        sentences(f"It goes out on {now.payout_on}.", _breaks(now), _blocked(now)),
        f"weekclose submit {now.window}",
    )


def _submitting(now: Situation, batch: Row) -> Verdict:
    return _verdict(
        "bad",
        "What the rail did with this batch is not known",
        f"{now.money('leaving')} may be on its way. Asking again never pays twice.",
        f"weekclose submit {now.window}",
    )


def _submitted(now: Situation, batch: Row) -> Verdict:
    by_hand = now.money("by_hand_amount")
    paid = f"{counted(now.count('paid'), 'seller')} paid."
    at_the_rail = money((row["open_amount"] - row["by_hand_amount"], row["currency"]) for row in now.totals)
    if by_hand and not at_the_rail:
        headline = f"To be paid by hand: {by_hand}"
        return _verdict("warn", headline, sentences(paid, _came_back(now), _breaks(now)))
    return _verdict(
        "warn",
        f"With the rail: {at_the_rail or 'nothing'} not answered yet",
        sentences(paid, f"{by_hand} is paid by hand." if by_hand else "", _came_back(now), _breaks(now)),
        f"weekclose reconcile {now.window}",
    )


def _settled(now: Situation, batch: Row) -> Verdict:
    came_back = _came_back(now)
    return _verdict(
        "warn" if came_back or now.own_breaks else "good",
        f"Paid: {now.money('paid_amount') or 'nothing'} to {counted(now.count('paid'), 'seller')}",
        sentences(came_back or "No payout came back.", _breaks(now), _blocked(now)),
    )


def _no_longer(now: Situation, batch: Row) -> Verdict:
    return _verdict("bad", "The rail rejected this batch", _rejected(now))


_BY_STATE = {
    "frozen": _frozen,
    "approved": _approved,
    "submitting": _submitting,
    "submitted": _submitted,
    "settled": _settled,
    "rejected": _no_longer,
}


# -- words -------------------------------------------------------------------------------------------


def _going(now: Situation) -> str:
    return f"{now.money('leaving')} to {counted(now.count('ready'), 'seller')}"


def _blocked(now: Situation) -> str:
    blocked = now.count("blocked")
    return f"{counted(blocked, 'seller')} blocked with {now.money('held_back')}." if blocked else ""


def _came_back(now: Situation) -> str:
    failed = now.count("failed")
    if not failed:
        return ""
    amount = money((row["failed_amount"] + row["returned_amount"], row["currency"]) for row in now.totals)
    return f"{counted(failed, 'payout')} failed or came back, {amount}: the money is in the balance again."


def _rejected(now: Situation) -> str:
    return f"The rail rejected batch {now.rejected['batch_id']}." if now.rejected else ""


def _breaks(now: Situation) -> str:
    if not now.own_breaks:
        return ""
    sums: dict[str, int] = {}
    for row in now.own_breaks:
        currency = row["currency"] or ""
        sums[currency] = sums.get(currency, 0) + abs(row["difference"] or 0)
    off = money((amount, currency) for currency, amount in sums.items())
    return f"{counted(len(now.own_breaks), 'break')} in this window{f', {off}' if off else ''}."


def _warnings(now: Situation) -> str:
    warned = sum(check["status"] == "warn" for check in now.checks)
    return f"{counted(warned, 'warning')} to look at." if warned else ""


def _verdict(tone: str, headline: str, detail: str, command: str | None = None) -> Verdict:
    return {"tone": tone, "headline": headline, "detail": detail, "command": command}
