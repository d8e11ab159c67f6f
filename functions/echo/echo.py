"""The smallest function: the answer is the event."""


def handler(event, context):
    return event
