"""Retries: one call carried to success or to the error that its caller gets.

What may be retried is a property of the error. A retry costs tokens of a bucket that all calls to an endpoint share,
so that a failing service is not hammered; successes earn them back (the figures are botocore's).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from s3dlio.errors import IntegrityError, S3dlioError, ServerError, ThrottledError
from s3dlio.http.blocking import StaleConnectionError
from s3dlio.http.pool import Pool
from s3dlio.http.throttle import Throttle
from s3dlio.http.wire import Exchange
from s3dlio.steps import Offload, Pause, Transfer

if TYPE_CHECKING:
    from s3dlio.http.proxies import Proxies

T_co = TypeVar("T_co", covariant=True)
_CAPACITY = 500
_COST = 14
_COST_THROTTLED = 5
_SHORTEST = 0.05  # seconds, doubled with each attempt
_SHORTEST_THROTTLED = 0.5
_LONGEST = 20.0
_MOST_CORRECTIONS = 3  # clock, credentials and region, each once

log = logging.getLogger("s3dlio.http")


class Unready(Exception):  # noqa: N818 - not an error: the request can be made a little later
    """A request cannot be made yet: `find` gets what it lacks, in its own time, and returns whether that is new."""

    def __init__(self, find: Callable[[], bool]) -> None:
        super().__init__()
        self.find = find


class Call(Protocol[T_co]):
    """One request of a store, made anew for each attempt.

    `fresh` is set to ask for a new connection. `prepare` signs, and asks only for what is still missing; `conclude`
    returns the result of an answer or raises the error that it is.
    """

    fresh: bool

    def prepare(self) -> Exchange:
        """Return the next attempt.

        Raises:
            Unready: something is missing that takes time to find, such as credentials.
        """
        ...

    def conclude(self, exchange: Exchange) -> T_co:
        """Judge a complete answer."""
        ...


@dataclass(slots=True)
class Budget:
    """The tokens that pay for the retries of one endpoint, and its wish for fewer requests."""

    attempts: int
    tokens: int = _CAPACITY
    throttle: Throttle = field(default_factory=Throttle)

    def spend(self, cost: int) -> bool:
        """Take `cost` tokens, if there are as many."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def earn(self, amount: int, era: int) -> None:
        """Give tokens back after the success of a request that was sent in `era` of the throttle."""
        if self.tokens < _CAPACITY:
            self.tokens = min(_CAPACITY, self.tokens + amount)
        if self.throttle.gap:
            self.throttle.ease(era)

    def heed(self, error: S3dlioError, era: int) -> None:
        """Slow down all calls after an answer that asks for patience, in its code or with a time to wait."""
        wait = error.retry_after if isinstance(error, ThrottledError | ServerError) else None
        if wait is not None or isinstance(error, ThrottledError):
            self.throttle.slow_down(wait or 0.0, era)


async def perform(call: Call[T_co], pool: Pool, budget: Budget, uri: object) -> T_co:
    """Carry out a call, again after errors that may pass; they name `uri`."""
    attempt, spent, corrections, sent = 1, 0, 0, 0
    throttle = budget.throttle
    problem: S3dlioError | None = None
    while True:
        if throttle.gap:
            await throttle.turn()
        exchange = _prepared(call)
        if not isinstance(exchange, Exchange):
            await _found(exchange, problem)
            continue
        sent, era = sent + 1, throttle.era
        try:
            await _carried(pool, exchange)
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
            budget.heed(problem, era)
            if not problem.retryable or attempt >= budget.attempts or not budget.spend(spent):
                raise
            delay = _delay(problem, attempt)
            log.info("attempt %d failed, again in %.2f s: %s", attempt, delay, problem)
            attempt += 1
            call.fresh = call.fresh or isinstance(problem, IntegrityError)
            await Pause(delay)
        else:
            budget.earn(spent or 1, era)
            return result


def _prepared(call: Call[object]) -> Exchange | Callable[[], bool]:
    """Return the next attempt, or the function that finds what it lacks."""
    try:
        return call.prepare()
    except Unready as unready:
        return unready.find


async def _found(find: Callable[[], bool], problem: S3dlioError | None) -> None:
    """Have something found where it stalls nobody; `problem` stands if that gives only what caused it."""
    if not await Offload(find) and problem is not None:
        raise problem


def _carried(pool: Pool, exchange: Exchange) -> Awaitable[None]:
    """Return the step that carries out an exchange, by way of a proxy where there are any."""
    return Transfer(pool, exchange) if pool.proxies is None else _by_proxy(pool.proxies, pool, exchange)


async def _by_proxy(proxies: Proxies, pool: Pool, exchange: Exchange) -> None:
    proxies.address(exchange)
    await Transfer(pool, exchange)
    proxies.check(exchange)


def _named(error: S3dlioError, uri: object) -> S3dlioError:
    if error.uri is None:
        error.uri = str(uri)
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
