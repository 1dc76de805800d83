{# The oldest window that such a test looks at: always the newest frozen one, and what is open. #}
{% macro first_audited_window() -%}
    {%- if audits_everything() -%}
        cast('-infinity' as date)
    {%- else -%}
        (
            select least({{ payout_window_of(local_date(audited_since())) }}, max(payout_window))
            from {{ source('payouts', 'frozen_windows') }}
        )
    {%- endif -%}
{%- endmacro %}
