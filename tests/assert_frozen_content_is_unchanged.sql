-- A frozen window still has the content that its digest was taken of: rows, lines, amounts, rails and
-- destinations. Approval binds a person to this digest. A row here means that somebody got past the
-- database's refusal to change what is frozen, and that what would be paid is not what was reviewed.
select
    payout_window,
    content_digest as frozen_as,
    payouts.window_digest(payout_window) as found
from {{ source('payouts', 'frozen_windows') }}
where
    payout_window >= {{ first_audited_window() }}
    and content_digest != payouts.window_digest(payout_window)
