-- Every window row accounts for its money: what it had is what it pays plus what it passes on. A row here
-- means that Tuesday would pay a wrong amount, or that next week begins with one.
select
    seller_id,
    payout_window,
    currency,
    net - disputes + adjustments + carry_in as had,
    payable + carry_out as accounted_for
from {{ ref('settlement_windows') }}
where
    payout_window >= {{ first_audited_window() }}
    and (
        net != gross - fees - refunds
        or (status != 'before_start' and net - disputes + adjustments + carry_in != payable + carry_out)
    )
