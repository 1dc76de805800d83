with

items as (
    select
        *,
        coalesce(request_number, to_char(payout_window, 'YYYY-MM-DD')) as paid_with
    from {{ ref('int_queue_items') }}
),

blocks as (
    select
        item,
        array_agg(words order by place) as words,
        bool_and(is_passing) as is_passing,
        (array_agg(command order by place) filter (where command is not null))[1] as command
    from {{ ref('int_queue_blocks') }}
    group by item
),

staged as (
    select
        items.*,
        stages.readiness,
        stages.attention,
        stages.reasons,
        stages.next_action,
        -- Amounts are compared within a currency: the first of each come first.
        row_number() over (
            partition by stages.readiness, items.currency
            order by items.amount desc, items.since asc, items.item asc
        ) as place
    from items
    left join blocks on items.item = blocks.item
    inner join lateral (
        values
        (
            'ready_frozen', 'ready', 'none', array['it waits for an approval'],
            case
                when items.request_number is null
                    then concat('weekclose approve ', items.paid_with, ' --digest ', items.content_digest)
                else concat('weekclose requests approve ', items.request_number)
            end
        ),
        (
            'ready_approved', 'ready', 'none', array['it is approved'],
            concat('weekclose submit ', items.paid_with)
        ),
        (
            'by_hand', 'ready', 'intervene', array['no rail pays it, a person does'],
            concat(
                'weekclose execute ', items.payout_number, ' --reference '''' --amount ', items.amount,
                ' --proof FILE'
            )
        ),
        (
            'due', 'ready', 'none', array['its reserve has closed: the next freeze takes it'],
            'weekclose sunday'
        ),
        ('closing', 'near_ready', 'wait', array['its reserve closes soon'], null),
        ('in_reserve', 'pending', 'wait', array['its reserve is open'], null),
        (
            'unknown', 'pending', 'intervene', array['whether the rail has its batch is not known'],
            concat('weekclose submit ', items.paid_with)
        ),
        (
            'submitted', 'pending', 'wait', array['the rail has it'],
            concat('weekclose reconcile ', items.paid_with)
        ),
        (
            'silent', 'pending', 'intervene', array['the rail has had it for two days without a final word'],
            concat('weekclose reconcile ', items.paid_with)
        ),
        (
            'rolling', 'pending', 'wait',
            array_remove(array[
                case items.status when 'failed' then 'it failed' else 'it came back' end,
                items.failure_reason,
                'its money rolls into the next freeze'
            ], null),
            null
        ),
        (
            'awaiting_reconciliation', 'blocked', 'intervene',
            array['rail and books disagree: a person accepts what left, or has it paid again'],
            concat(
                'weekclose resolve ', items.payout_number,
                case when items.is_executed then ' accept' else ' retry' end, ' --note '''''
            )
        ),
        (
            'blocked',
            case when blocks.is_passing then 'near_ready' else 'blocked' end,
            case when blocks.command is not null then 'intervene' else 'wait' end,
            blocks.words || case
                when items.is_decidable then cast(array[] as text[])
                else array['its batch has left, and its money rolls into the next freeze']
            end,
            blocks.command
        )
    ) as stages (stage, readiness, attention, reasons, next_action) on items.stage = stages.stage
)

select
    payout_number,
    request_number,
    seller_id,
    payout_window,
    currency,
    amount,
    rail,
    status,
    readiness,
    attention,
    reasons,
    next_action,
    -- Of everything that waits: there is nothing to partition by.
    row_number() over (
        order by
            array_position(array['ready', 'near_ready', 'pending', 'blocked'], readiness),
            place,
            since,
            item
    ) as priority_rank,
    since,
    greatest(current_timestamp - since, interval '0') as age
from staged
