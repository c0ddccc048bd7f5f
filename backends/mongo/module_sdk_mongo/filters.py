"""The filters of the read model as a query document."""

from __future__ import annotations

import re

from module_sdk.backends import Condition, Query, Sort
from module_sdk_mongo.connection import Document, Order
from module_sdk_mongo.records import document_field


def query_document(query: Query) -> Document:
    """Return the query as a document. Each value is text or follows an operator, so none can act as an operator."""
    terms = [term(condition) for condition in query.conditions]
    if query.organization is not None:
        terms.insert(0, {"organization_id": query.organization})
    return {"$and": terms} if terms else {}


def term(condition: Condition) -> Document:
    name, value = document_field(condition.field), condition.value
    match condition.operator:
        case "any_of":
            # A `None` in the list matches an absent field.
            return {name: {"$in": list(value)}} if len(value) > 1 else {name: {"$eq": value[0]}}
        case "contains":
            # The regular expression is escaped throughout. $indexOfBytes would fail on fields that are not text.
            return {name: {"$regex": re.escape(value)}}
        case "at_least":
            return {name: {"$gte": value}}
        case "below":
            return {name: {"$lt": value}}


def order_of(sort: Sort) -> Order:
    """Return the order of a page. MongoDB compares text by its bytes; in ascending order, absent fields come first."""
    direction = -1 if sort.descending else 1
    return list({document_field(sort.field): direction, "_id": direction}.items())
