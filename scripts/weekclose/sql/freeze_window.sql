-- The promise itself, with what it was made of.
insert into payouts.frozen_windows (
    payout_window, window_ends_at, reserve_closes_at, as_of, run_id, settings, content_digest,
    row_count, line_count, frozen_by
)
values (
    %(window)s, %(window_ends_at)s, %(reserve_closes_at)s, %(as_of)s, %(run_id)s, %(settings)s, %(digest)s,
    %(rows)s, %(lines)s, %(actor)s
)
