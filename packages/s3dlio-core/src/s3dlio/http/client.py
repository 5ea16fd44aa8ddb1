"""Retries: one call carried to success or to the error that its caller gets.

What may be retried is a property of the error. A retry costs tokens of a bucket that all calls to an endpoint share,
so that a failing service is not hammered; successes earn them back (the figures are botocore's).
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Protocol, TypeVar

from s3dlio.errors import IntegrityError, S3dlioError, ServerError, ThrottledError
from s3dlio.http.blocking import StaleConnectionError
from s3dlio.http.pool import Pool
from s3dlio.http.wire import Exchange
from s3dlio.steps import Pause, Transfer

T_co = TypeVar("T_co", covariant=True)
_CAPACITY = 500
_COST = 14
_COST_THROTTLED = 5
_SHORTEST = 0.05  # seconds, doubled with each attempt
_SHORTEST_THROTTLED = 0.5
_LONGEST = 20.0
_MOST_CORRECTIONS = 3  # clock, credentials and region, each once

log = logging.getLogger("s3dlio.http")


class Call(Protocol[T_co]):
    """One request of a store, made anew for each attempt.

    `fresh` is set to ask for a new connection. `prepare` signs, and asks only for what is still missing; `conclude`
    returns the result of an answer or raises the error that it is.
    """

    fresh: bool

    def prepare(self) -> Exchange:
        """Return the next attempt."""
        ...

    def conclude(self, exchange: Exchange) -> T_co:
        """Judge a complete answer."""
        ...


@dataclass(slots=True)
class Budget:
    """The tokens that pay for the retries of one endpoint."""

    attempts: int
    tokens: int = _CAPACITY

    def spend(self, cost: int) -> bool:
        """Take `cost` tokens, if there are as many."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def earn(self, amount: int) -> None:
        """Give tokens back after a success."""
        if self.tokens < _CAPACITY:
            self.tokens = min(_CAPACITY, self.tokens + amount)


async def perform(call: Call[T_co], pool: Pool, budget: Budget, uri: str) -> T_co:
    """Carry out a call, again after errors that may pass."""
    attempt, spent, corrections, sent = 1, 0, 0, 0
    while True:
        sent += 1
        exchange = call.prepare()
        try:
            await Transfer(pool, exchange)
            result = call.conclude(exchange)
        except StaleConnectionError as error:
            # A keep-alive connection that the service had closed is no fault: once more on a new one, at no cost.
            if call.fresh:
                raise _named(error, uri) from error.__cause__
            call.fresh = True
        except S3dlioError as error:
            problem = _named(error, uri)
            problem.attempts = sent
            if problem.corrected and corrections < _MOST_CORRECTIONS:
                corrections += 1
                continue
            spent = _cost(error)
            if not problem.retryable or attempt >= budget.attempts or not budget.spend(spent):
                raise
            delay = _delay(problem, attempt)
            log.info("attempt %d failed, again in %.2f s: %s", attempt, delay, problem)
            attempt += 1
            call.fresh = call.fresh or isinstance(problem, IntegrityError)
            await Pause(delay)
        else:
            budget.earn(spent or 1)
            return result


def _named(error: S3dlioError, uri: str) -> S3dlioError:
    if error.uri is None:
        error.uri = uri
    return error


def _cost(error: S3dlioError) -> int:
    return _COST_THROTTLED if isinstance(error, ThrottledError) else _COST


def _delay(error: S3dlioError, attempt: int) -> float:
    throttled = isinstance(error, ThrottledError)
    longest = min(_LONGEST, (_SHORTEST_THROTTLED if throttled else _SHORTEST) * 2.0 ** (attempt - 1))
    delay = random.random() * longest
    if isinstance(error, ThrottledError | ServerError) and error.retry_after is not None:
        return max(delay, min(error.retry_after, _LONGEST))
    return delay
