select
    payouts.payout_number,
    payouts.seller_id,
    payouts.currency,
    lines.payout_window,
    lines.line_id,
    lines.order_id,
    {{ money('lines.gross - lines.fees - lines.refunds - lines.disputes + lines.adjustments') }} as amount
from {{ source('payouts', 'payouts') }} as payouts
inner join {{ source('payouts', 'payout_coverage') }} as coverage
    on payouts.payout_number = coverage.payout_number
inner join {{ source('payouts', 'frozen_lines') }} as lines
    on
        coverage.payout_window = lines.payout_window
        and payouts.seller_id = lines.seller_id
        and payouts.currency = lines.currency
