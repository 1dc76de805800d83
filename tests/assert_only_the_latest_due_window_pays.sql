-- Where several windows come due in one night, the latest pays the whole balance and the older ones carry
-- it forward. The older ones' money is in the latest one's carry_in: if they paid as well, the seller
-- would get it twice.
with

latest_due as (
    select max(payout_window) as payout_window
    from {{ ref('int_window_rows') }}
    where status != 'pending'
)

select
    seller_id,
    payout_window,
    currency,
    payable
from {{ ref('int_window_rows') }}
where payable != 0 and payout_window != (select latest_due.payout_window from latest_due)
union all
select
    frozen_rows.seller_id,
    frozen_rows.payout_window,
    frozen_rows.currency,
    frozen_rows.payable
from {{ source('payouts', 'frozen_rows') }} as frozen_rows
inner join {{ source('payouts', 'frozen_windows') }} as frozen_windows
    on frozen_rows.payout_window = frozen_windows.payout_window
inner join {{ source('payouts', 'frozen_windows') }} as frozen_with_it
    on
        frozen_windows.run_id = frozen_with_it.run_id
        and frozen_windows.payout_window < frozen_with_it.payout_window
where frozen_rows.payout_window >= {{ first_audited_window() }} and frozen_rows.payable != 0
