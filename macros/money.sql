{% macro money(amount) -%}
    cast({{ amount }} as numeric(18, 2))
{%- endmacro %}
