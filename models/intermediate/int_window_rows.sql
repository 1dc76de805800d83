{{
    config(
        materialized='incremental',
        incremental_strategy='replace_all',
        full_refresh=false,
        post_hook='analyze {{ this }}',
    )
}}

with

balances as (select * from {{ ref('int_window_balances') }}),

terms as (select * from {{ ref('int_seller_terms') }}),

holds as (select * from {{ source('payouts', 'holds') }} where released_at is null),

held as (select * from {{ ref('int_held') }}),

exceptions as (select * from {{ ref('int_open_exceptions') }}),

-- Only the latest due window pays, what lies above the seller's floor.
dues as (
    select
        balances.*,
        terms.rail,
        terms.destination,
        case
            when balances.payout_window = balances.due_window
                then greatest(
                    0,
                    balances.brought_in + balances.gross - balances.fees - balances.refunds
                    - balances.disputes + balances.adjustments - coalesce(terms.minimum_balance, 0)
                    - coalesce(held.held, 0)
                )
            else 0
        end as above_floor,
        coalesce(terms.minimum_payout, 0) as minimum_payout,
        case when balances.payout_window = balances.due_window then coalesce(held.held, 0) else 0 end as held,
        array_remove(array[
            case when terms.needs_review then 'manual_review' end,
            case when terms.is_active is not true then 'seller_inactive' end,
            case when terms.rail is null then 'no_rail' end,
            case when terms.rail is not null and not terms.is_wallet_valid then 'invalid_wallet' end,
            case when balances.currency != terms.settlement_currency then 'currency_mismatch' end,
            case when terms.is_wallet_recently_changed then 'wallet_recently_changed' end,
            case when holds.hold_id is not null then 'on_hold' end,
            case when exceptions.seller_id is not null then 'exception_pending' end
        ], null) as reasons
    from balances
    left join terms on balances.seller_id = terms.seller_id
    left join held on balances.seller_id = held.seller_id and balances.currency = held.currency
    left join holds on balances.seller_id = holds.seller_id and balances.payout_window = holds.payout_window
    left join exceptions
        on balances.seller_id = exceptions.seller_id and balances.currency = exceptions.currency
),

payables as (
    select
        dues.*,
        case when above_floor >= minimum_payout then above_floor else 0 end as payable
    from dues
),

decided as (
    select
        payables.*,
        case when payable > 0 then reasons else cast(array[] as text[]) end as block_reasons,
        case
            when due_window is null or payout_window > due_window then 'pending'
            when payable = 0 then 'carried_forward'
            when cardinality(reasons) > 0 then 'blocked'
            else 'ready'
        end as status
    from payables
),

-- What is ready leaves the balance; what is blocked stays in it.
rolled as (
    select
        decided.*,
        brought_in - coalesce(
            sum(case when status = 'ready' then payable else 0 end) over (
                partition by seller_id, currency
                order by payout_window
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as carry_in
    from decided
)

select
    seller_id,
    payout_window,
    {{ money('gross') }} as gross,
    {{ money('fees') }} as fees,
    {{ money('refunds') }} as refunds,
    {{ money('gross - fees - refunds') }} as net,
    rail,
    status,
    currency,
    {{ local_midnight('payout_window + 7') }} as window_ends_at,
    {{ reserve_closes_at('payout_window') }} as reserve_closes_at,
    {{ money('disputes') }} as disputes,
    {{ money('adjustments') }} as adjustments,
    {{ money('carry_in') }} as carry_in,
    {{ money('payable') }} as payable,
    {{ money('gross - fees - refunds - disputes + adjustments + carry_in - payable') }} as carry_out,
    block_reasons,
    destination,
    order_count,
    late_line_count,
    {{ money('held') }} as held,
    {{ as_of() }} as as_of
from rolled
