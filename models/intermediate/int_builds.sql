-- The row of a build is written by int_order_events in the transaction that writes its events, so a
-- crash can never move the watermark without them: this model only makes the table.
{{ config(materialized='incremental', incremental_strategy='append', full_refresh=false) }}

select
    {{ as_of() }} as as_of,
    cast(now() as timestamptz) as started_at,
    cast('{{ build_settings() }}' as text) as settings
where false
