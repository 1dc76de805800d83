-- What a seller owes or is owed beside his sales, oldest first.
select
    adjustment_number,
    currency,
    class,
    direction,
    amount,
    settled_amount,
    reason,
    invoice_reference,
    source_id,
    status,
    not_before,
    payout_window,
    is_undecided
from payouts.adjustments_of(%(seller)s)
order by adjustment_number collate "C"
