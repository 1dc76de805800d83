"""The deeds of deeds.py in a real database, through the functions that the commands call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, LiteralString
from uuid import uuid4

from psycopg import Connection
from psycopg.types.json import Jsonb

import deeds
from obligations import CREDIT, DEDUCTION, INVOICE
from sample_documents import pdf
from weekclose import adjustments, decisions, executions, holds, requests
from weekclose.documents import Document
from weekclose.refusals import refusals

# Nobody decides on what he has done himself, but where he is to be refused for it.
PROPOSER, SELECTOR, DECIDER, PAYER, RESOLVER, APPROVER = "olga", "petra", "dora", "emil", "rita", "anna"


@dataclass(frozen=True)
class Hands:
    conn: Connection[Any]

    def do(self, deed: deeds.Deed) -> None:
        """Raises Refused or NothingToDo as the database does, and then leaves nothing behind."""
        if isinstance(deed, deeds.HandOver):
            self._hand_over(deed)
        elif isinstance(deed, deeds.Word):
            self._say(deed)
        elif isinstance(deed, deeds.Execute | deeds.Resolve | deeds.Reverse):
            self._do_to_payout(deed)
        elif isinstance(deed, deeds.KeepBack):
            self._keep_back(deed)
        elif isinstance(deed, deeds.EndHold):
            holds.end(self.conn, [deed.number], deed.how, "it arrived", SELECTOR)
        elif isinstance(deed, deeds.Ask | deeds.Answer | deeds.Plan | deeds.DropPlan | deeds.RunPlans):
            self._do_to_requests(deed)
        else:
            self._do_to_adjustment(deed)

    def _hand_over(self, deed: deeds.HandOver) -> None:
        """What a Tuesday's submission writes; the rail's name and bytes are none that anybody reads."""
        named = deed.named
        with self.conn.transaction(), refusals():
            group = f"W{named}" if isinstance(named, date) else named
            digest = self._one("select payouts.batch_digest(%s)", group)
            batch = self._one(
                "select batch_id from payouts.batches where paid_with = %s order by generation desc limit 1",
                group,
            )
            if isinstance(named, date):
                decisions.approve(self.conn, named, digest, APPROVER)
            elif self._one("select state from payouts.batches where batch_id = %s", batch) == "frozen":
                # An exception has come and gone since its approval.
                requests.approve(self.conn, [named], APPROVER)
            self._one("select payouts.claim_batch(%s, %s, 'batch', '{}', %s)", batch, digest, PROPOSER)
            if deed.is_refused:
                said = Jsonb({"code": "closed", "message": "not today", "items": []})
                self._one("select payouts.take_refusal(%s, %s, %s)", batch, said, PROPOSER)
            else:
                self._one("select payouts.take_receipt(%s, %s, %s)", batch, f"pb {batch}", PROPOSER)

    def _say(self, word: deeds.Word) -> None:
        said = {
            "reference": word.number,
            "status": word.status,
            "final": True,
            "amount": str(word.amount),
            "external_reference": word.reference,
            "failure_reason": None if word.status == "completed" else "told",
        }
        batch = self._one("select batch_id from payouts.batch_items where payout_number = %s", word.number)
        self._one("select payouts.confirm(%s, clock_timestamp(), %s, 'rail')", batch, Jsonb([said]))

    def _do_to_payout(self, deed: deeds.Execute | deeds.Resolve | deeds.Reverse) -> None:
        conn, number = self.conn, deed.number
        match deed:
            case deeds.Execute():
                executions.execute(
                    conn, number, deed.reference, deed.amount, _paper(), PAYER, note="by letter"
                )
            case deeds.Resolve():
                paper, actor = _paper() if deed.has_proof else None, PAYER if deed.is_own else RESOLVER
                with self._policy(self._seller_of(number), deed.policy):
                    executions.resolve(conn, number, deed.verdict, "resolved", paper, actor)
            case deeds.Reverse():
                paper = _paper() if deed.has_evidence else None
                with self._policy(self._seller_of(number), deed.policy):
                    executions.reverse(conn, number, deed.reason, "wrong", paper, RESOLVER)

    def _do_to_adjustment(self, deed: deeds.Deed) -> None:
        conn = self.conn
        match deed:
            case deeds.Propose():
                self._propose(deed)
            case deeds.ProposeFrom(line_id):
                whose = self._one("select seller_id from payouts.frozen_lines where line_id = %s", line_id)
                with self._policy(whose, deed.policy):
                    adjustments.propose_from(conn, line_id, "changed", "by feed", _paper(), PROPOSER)
            case deeds.Apply(number, seller_id, currency, is_own):
                actor = PROPOSER if is_own else SELECTOR
                adjustments.apply(conn, [number], seller_id, currency, actor)
            case deeds.Deviate(number, wish):
                wished = adjustments.Deviation(wish.kind, wish.amount, wish.window, wish.seller_id)
                adjustments.deviate(conn, number, wished, "talked about", PROPOSER)
            case deeds.Decide(number, verdict, is_own):
                wish_id, asked_by = self._wish(number)
                adjustments.decide(conn, [wish_id], verdict, "seen", asked_by if is_own else DECIDER)
            case deeds.Settle(number, has_document):
                paper = _paper() if has_document else None
                adjustments.settle(conn, number, f"came for {number}", paper, SELECTOR)
            case deeds.Cancel(number):
                adjustments.cancel(conn, [number], "taken back", PROPOSER)

    def _keep_back(self, deed: deeds.KeepBack) -> None:
        wanted = holds.Wanted(deed.seller_id, deed.currency, deed.amount, "other", f"letter {uuid4()}")
        if deed.release_at is None:
            holds.create(self.conn, wanted, PROPOSER)
            return
        # It may be over by the clock, whatever night the weeks are at.
        self.conn.execute(
            "insert into payouts.escrow_holds"
            " (seller_id, currency, amount, reason, note, release_at, held_by)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            (
                *(deed.seller_id, deed.currency, deed.amount, wanted.reason, wanted.note),
                deed.release_at,
                PROPOSER,
            ),
        )

    def _do_to_requests(self, deed: deeds.Deed) -> None:
        """As the commands do it, but for the holds that are over by the clock, whatever night it is."""
        conn = self.conn
        match deed:
            case deeds.Ask(seller_id, currency, amount):
                with conn.transaction(), refusals():
                    self._one(
                        "select payouts.note_request(%s, %s, %s, %s, null, %s, %s)",
                        *(seller_id, currency, amount, f"letter {uuid4()}", PROPOSER, PROPOSER),
                    )
            case deeds.Answer(number, "approved", is_own):
                asker = "select requested_by from payouts.payout_requests where request_number = %s"
                requests.approve(conn, [number], self._one(asker, number) if is_own else APPROVER)
            case deeds.Answer(number):
                requests.reject(conn, [number], "withdrawn", SELECTOR)
            case deeds.Plan(seller_id, currency, amount, due_at, order_id):
                wish = requests.Wish(
                    *(seller_id, currency, amount),
                    "guarantee_period_end" if order_id else "milestone_reached",
                    f"letter {uuid4()}",
                    order_id=order_id,
                    due_at=due_at,
                )
                requests.schedule(conn, wish, PROPOSER)
            case deeds.DropPlan(number):
                requests.cancel(conn, [number], "the contract ended", PROPOSER)
            case deeds.RunPlans(at):
                requests.run(conn, at, SELECTOR)

    def _propose(self, deed: deeds.Propose) -> None:
        proposal = adjustments.Proposal(
            deed.seller_id,
            deed.currency,
            deed.of_class,
            deed.amount,
            reason="agreed",
            note=f"letter {uuid4()}",
            invoice="INV 1" if deed.of_class == INVOICE else None,
            about=deed.about,
        )
        with self._policy(deed.seller_id, deed.policy):
            paper = _paper() if deed.has_document else None
            adjustments.propose(self.conn, proposal, paper, PROPOSER)

    @contextmanager
    def _policy(self, seller_id: str, mode: str | None) -> Iterator[None]:
        """A policy of the seller's own, while a deed is done. The next build has those of the seeds again."""
        with self.conn.transaction():
            if mode:
                self.conn.execute(
                    "insert into seeds.adjustment_policies (class, scope, scope_value, mode, needs_document)"
                    " select class, 'seller', %s, %s, false from unnest(%s::text[]) as class",
                    (seller_id, mode, [CREDIT, DEDUCTION, INVOICE]),
                )
            yield
            self.conn.execute("delete from seeds.adjustment_policies where scope = 'seller'")

    def _seller_of(self, number: str) -> str:
        return str(self._one("select seller_id from payouts.payouts where payout_number = %s", number))

    def _wish(self, number: str) -> tuple[int, str]:
        found = self.conn.execute(
            "select exception_id, requested_by from payouts.exceptions"
            " where adjustment_number = %s and decision is null",
            [number],
        ).fetchone()
        assert found, f"no exception of {number} is open"
        wish_id, asked_by = found
        return wish_id, asked_by

    def _one(self, query: LiteralString, *values: object) -> Any:
        row = self.conn.execute(query, values).fetchone()
        return row[0] if row else None


def _paper() -> Document:
    """One that nobody has seen before."""
    content = pdf(str(uuid4()))
    return Document(sha256(content).hexdigest(), "application/pdf", content)
