-- What is not finished, and how far it has come. A payout whose money is the seller's again is finished as
-- soon as something else takes that in: a later window's freeze or, of what failed, a request.
-- So is a rejected request.
with

next_window as (
    select coalesce(max(payout_window) filter (where status != 'pending'), min(payout_window)) as first_day
    from {{ ref('int_window_rows') }}
    where payout_window >= {{ first_unfrozen_window() }}
),

-- What holds alone keep from being paid is due as well.
due_rows as (
    select
        window_rows.*,
        case window_rows.status
            when 'pending'
                then
                    window_rows.net - window_rows.disputes + window_rows.adjustments
                    + least(0, window_rows.carry_in)
            when 'carried_forward' then least(window_rows.held, window_rows.carry_out)
            else window_rows.payable
        end as amount
    from {{ ref('int_window_rows') }} as window_rows
    inner join next_window on window_rows.payout_window = next_window.first_day
)

select
    payouts.payout_number as item,
    payouts.payout_number,
    payouts.request_number,
    payouts.seller_id,
    payouts.payout_window,
    payouts.currency,
    payouts.amount,
    payouts.rail,
    payouts.status,
    payouts.block_reasons,
    payouts.failure_reason,
    case
        when payouts.status = 'submitted' and batches.state = 'submitting' then 'unknown'
        when payouts.status = 'submitted' and payouts.rail = 'MANUAL' then 'by_hand'
        when
            payouts.status = 'submitted'
            and payouts.status_changed_at < current_timestamp - interval '48 hours'
            then 'silent'
        when payouts.status = 'ready' then concat('ready_', batches.state)
        when payouts.status in ('failed', 'returned') then 'rolling'
        else payouts.status
    end as stage,
    coalesce(batches.state in ('frozen', 'approved'), false) as is_decidable,
    payouts.reference_id is not null as is_executed,
    batches.content_digest,
    payouts.status_changed_at as since
from {{ source('payouts', 'payouts') }} as payouts
left join {{ source('payouts', 'batches') }} as batches
    on payouts.paid_with = batches.paid_with and batches.state != 'rejected'
where
    -- As the index of what is not over has it.
    payouts.status not in ('paid', 'reversed')
    and (
        payouts.status in ('ready', 'submitted', 'awaiting_reconciliation')
        or (
            'request_rejected' != all(payouts.block_reasons)
            and not exists (
                select from {{ source('payouts', 'frozen_windows') }} as later
                where
                    later.payout_window > payouts.payout_window
                    and later.frozen_at >= payouts.status_changed_at
            )
            and not exists (
                select from {{ source('payouts', 'payouts') }} as requested
                where
                    payouts.status in ('failed', 'returned')
                    and requested.request_number is not null
                    and requested.seller_id = payouts.seller_id
                    and requested.currency = payouts.currency
                    and requested.status != 'blocked'
                    and requested.created_at >= payouts.status_changed_at
            )
        )
    )
union all
select
    concat(payout_window, ' ', currency, ' ', seller_id) as item,
    null as payout_number,
    null as request_number,
    seller_id,
    payout_window,
    currency,
    {{ money('amount') }} as amount,
    rail,
    status,
    case status when 'carried_forward' then array['held'] else block_reasons end as block_reasons,
    null as failure_reason,
    case
        when status in ('blocked', 'carried_forward') then 'blocked'
        when status = 'ready' or reserve_closes_at <= current_timestamp then 'due'
        when reserve_closes_at <= current_timestamp + interval '{{ var("near_ready_hours") }} hours'
            then 'closing'
        else 'in_reserve'
    end as stage,
    true as is_decidable,
    false as is_executed,
    null as content_digest,
    {{ local_midnight('payout_window') }} as since
from due_rows
where amount > 0
