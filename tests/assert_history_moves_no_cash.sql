-- What lies before settlement_start was settled elsewhere: it is shown, and carries, pays and passes on
-- nothing. A row here is money that a seller has been paid already, on its way into a batch.
select
    seller_id,
    payout_window,
    currency,
    status
from {{ ref('settlement_windows') }}
where
    payout_window >= {{ first_audited_window() }}
    and (payout_window < {{ settlement_start() }}) != (
        status = 'before_start' and carry_in = 0 and payable = 0 and carry_out = 0 and frozen_at is null
    )
