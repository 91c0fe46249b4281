"""A program that knows nothing of Longshore but its page: it publishes JSON over AMQP and reads JSON answers.

Usage: python -I foreign.py URL NAMESPACE < PROGRAM. The program is JSON: {"publish": [{"body", "message_id",
"correlation_id", "traceparent", "reply"}], "answers": how many to wait for, "within": seconds}. It prints the answers,
an array of {"correlation_id", "content_type", "body"}.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from typing import Any

import aio_pika


async def main(url: str, namespace: str, program: dict[str, Any]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    connection = await aio_pika.connect(url)
    async with connection, asyncio.timeout(program.get("within", 20)):
        channel = await connection.channel()
        commands = await channel.get_exchange(f"{namespace}.commands")
        replies = await channel.get_exchange(f"{namespace}.replies")
        mine = await channel.declare_queue(exclusive=True)
        key = f"foreign-{secrets.token_hex(8)}"
        await mine.bind(replies, key)
        for one in program["publish"]:
            headers = {"traceparent": one["traceparent"]} if "traceparent" in one else {}
            message = aio_pika.Message(
                one["body"].encode(),
                content_type="application/json",
                message_id=one.get("message_id"),
                correlation_id=one.get("correlation_id"),
                reply_to=key if one.get("reply", True) else None,
                headers=headers,
            )
            await commands.publish(message, routing_key="trigger")
        async with mine.iterator() as iterator:
            while len(answers) < program["answers"]:
                answer = await anext(iterator)
                await answer.ack()
                told = {"correlation_id": answer.correlation_id, "content_type": answer.content_type}
                answers.append({**told, "body": json.loads(answer.body)})
    return answers


if __name__ == "__main__":
    assert not any(name.startswith("longshore") for name in sys.modules)
    found = asyncio.run(main(sys.argv[1], sys.argv[2], json.load(sys.stdin)))
    sys.stdout.write(json.dumps(found))
