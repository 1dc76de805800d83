{% macro rate(share) -%}
    cast(case when {{ share }} > 999999 then 999999 else {{ share }} end as numeric(12, 6))
{%- endmacro %}
