-- A row that can be paid waits while an exception about its seller is open, and none waits for an exception
-- that there is not. What is approved on Monday is what the rows say: a row here is money that would leave
-- before it is decided what of it is the seller's, or that stays for nothing.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

-- What was asked for or decided while the build was running may be in it, or not.
pending as (
    select
        adjustments.seller_id,
        adjustments.applied_to,
        exceptions.to_seller,
        adjustments.currency,
        exceptions.decision is null
        and exceptions.requested_at < (select build.started_at from build) as is_open_throughout
    from {{ source('payouts', 'exceptions') }} as exceptions
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on exceptions.adjustment_number = adjustments.adjustment_number
    where
        exceptions.decision is null
        or exceptions.decided_at >= (select build.started_at from build)
),

exceptions as (
    select
        seller_id,
        currency,
        bool_or(is_open_throughout) as is_open_throughout
    from (
        select
            seller_id,
            currency,
            is_open_throughout
        from pending
        union all
        select
            applied_to as seller_id,
            currency,
            is_open_throughout
        from pending
        union all
        select
            to_seller as seller_id,
            currency,
            is_open_throughout
        from pending
    ) as concerned
    group by seller_id, currency
)

select
    open_rows.seller_id,
    open_rows.payout_window,
    open_rows.currency,
    open_rows.block_reasons
from {{ ref('int_window_rows') }} as open_rows
left join exceptions
    on open_rows.seller_id = exceptions.seller_id and open_rows.currency = exceptions.currency
where
    open_rows.payout_window >= {{ first_unfrozen_window() }}
    and open_rows.payable > 0
    and case
        when 'exception_pending' = any(open_rows.block_reasons) then exceptions.seller_id is null
        else coalesce(exceptions.is_open_throughout, false)
    end
