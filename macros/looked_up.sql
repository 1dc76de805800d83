{# A join of the touched orders with all of history. A week's are looked up one by one through an index: the
   planner would rather read years in a row, and a Sunday would cost what they cost. Where all orders are
   touched, a plain join is right. #}
{% macro looked_up(kind, relation, name, condition) -%}
    {{ kind }} join
    {%- if last_build() is none %} {{ relation }} as {{ name }} on {{ condition }}
    {%- else %} lateral (
        select * from {{ relation }} as {{ name }}
        where {{ condition }}
        offset 0
    ) as {{ name }} on true
    {%- endif -%}
{%- endmacro %}
