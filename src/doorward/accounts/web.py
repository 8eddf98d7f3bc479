"""All addresses of this room."""

from starlette.routing import Route

from doorward.accounts.api import Api
from doorward.accounts.console import Console
from doorward.accounts.deletion_web import DeletionWeb
from doorward.accounts.front import Front
from doorward.accounts.pages import AccountPages, Pages
from doorward.accounts.service import Accounts
from doorward.hall.doors import Desk


def routes(accounts: Accounts, desk: Desk) -> list[Route]:
    """Pages, JSON API and console of the accounts."""
    front = Front(accounts.parts, desk)
    kinds = (Pages, AccountPages, Api, Console, DeletionWeb)
    return [route for kind in kinds for route in kind(accounts, desk, front).routes()]
