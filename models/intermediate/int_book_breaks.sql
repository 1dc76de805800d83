-- Our own records against each other. The database refuses most of this: it is looked at all the same.
with

windows as (select * from {{ ref('int_reconciled_windows') }}),

-- Both are read window by window: a join might read all of history.
payables as (
    select rows.*
    from windows
    cross join lateral (
        select
            frozen_rows.payout_window,
            frozen_rows.seller_id,
            frozen_rows.currency,
            frozen_rows.payable,
            frozen_windows.frozen_at
        from {{ source('payouts', 'frozen_rows') }} as frozen_rows
        inner join {{ source('payouts', 'frozen_windows') }} as frozen_windows
            on frozen_rows.payout_window = frozen_windows.payout_window
        where frozen_rows.payout_window = windows.payout_window and frozen_rows.payable > 0
        offset 0
    ) as rows
),

payouts as (
    select rows.*
    from windows
    cross join lateral (
        select * from {{ source('payouts', 'payouts') }} as payouts
        where payouts.payout_window = windows.payout_window
        offset 0
    ) as rows
),

-- A request is promised by its approval, not by a frozen row.
promised as (select * from payouts where request_number is null),

booked as (
    select
        payouts.*,
        case
            when payouts.status in ('submitted', 'awaiting_reconciliation') then moved.in_transit
            when payouts.status in ('paid', 'reversed') then moved.paid
            else payouts.amount - moved.in_transit - moved.paid
        end as amount_booked,
        moved.in_transit + moved.paid as amount_out
    from payouts
    -- Added up one by one: a join might read all of the ledger.
    inner join lateral (
        select
            coalesce(sum(entries.amount) filter (where entries.account = 'payouts_in_transit'), 0)
                as in_transit,
            coalesce(sum(entries.amount) filter (where entries.account = 'payouts_paid'), 0) as paid
        from {{ source('payouts', 'ledger_entries') }} as entries
        where entries.payout_number = payouts.payout_number
    ) as moved on true
)

select
    'not_as_frozen' as break_type,
    coalesce(promised.payout_number, concat_ws(':', payout_window, seller_id, currency)) as entity,
    seller_id,
    payout_window,
    currency,
    coalesce(payables.payable, 0) as expected,
    coalesce(promised.amount, 0) as actual,
    coalesce(promised.created_at, payables.frozen_at) as detected_at,
    'books' as category,
    'engineering' as owner
from payables
full outer join promised using (payout_window, seller_id, currency)
where payables.payable is distinct from promised.amount
union all
select
    'not_as_booked' as break_type,
    payout_number as entity,
    seller_id,
    payout_window,
    currency,
    amount_booked as expected,
    amount as actual,
    status_changed_at as detected_at,
    'books' as category,
    'engineering' as owner
from booked
where amount_booked != amount or amount_out not in (0, amount)
