-- What a due row holds is what people and running guarantees hold of its seller; no cent of it is payable.
-- A row here is money that leaves although something is not over, or stays although nothing holds it.
with

holds as (
    select
        seller_id,
        currency,
        sum(amount) as held
    from {{ ref('escrow_holds') }}
    where status = 'active' and (release_at is null or release_at > {{ as_of() }})
    group by seller_id, currency
),

due_rows as (select * from {{ ref('int_window_rows') }} where status != 'pending'),

-- Of several that are due at once the latest pays.
latest as (select max(payout_window) as payout_window from due_rows)

select
    due_rows.seller_id,
    due_rows.payout_window,
    due_rows.currency,
    due_rows.held as row_says,
    coalesce(holds.held, 0) as holds_say
from due_rows
inner join latest on due_rows.payout_window = latest.payout_window
left join holds on due_rows.seller_id = holds.seller_id and due_rows.currency = holds.currency
where
    due_rows.held != coalesce(holds.held, 0)
    or (due_rows.payable > 0 and due_rows.carry_out < due_rows.held)
union all
select
    frozen_rows.seller_id,
    frozen_rows.payout_window,
    frozen_rows.currency,
    frozen_rows.held as row_says,
    frozen_rows.carry_out as holds_say
from {{ source('payouts', 'frozen_rows') }} as frozen_rows
where
    frozen_rows.payout_window >= {{ first_audited_window() }}
    and frozen_rows.payable > 0
    and frozen_rows.carry_out < frozen_rows.held
