-- Who froze a window, and as of when.
select
    frozen_by,
    frozen_at,
    as_of,
    content_digest,
    row_count,
    line_count
from payouts.frozen_windows
where payout_window = %(window)s
