-- A row of the view says where it stands in one of eleven words, and a blocked one says why. People and
-- reports filter by these words: a row with another one is on nobody's list.
select
    seller_id,
    payout_window,
    currency,
    status,
    block_reasons
from {{ ref('settlement_windows') }}
where
    payout_window >= {{ first_audited_window() }}
    and (
        status not in (
            'before_start', 'pending', 'ready', 'blocked', 'carried_forward', 'submitted', 'paid', 'failed',
            'returned', 'reversed', 'awaiting_reconciliation'
        )
        or (status = 'blocked') != (cardinality(block_reasons) > 0)
        or not block_reasons <@ array[
            'manual_review', 'seller_inactive', 'no_rail', 'invalid_wallet', 'currency_mismatch',
            'wallet_recently_changed', 'on_hold', 'exception_pending'
        ]
    )
