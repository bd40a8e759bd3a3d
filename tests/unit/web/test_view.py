"""What the page, the metrics and the admin socket may rely on in a node."""

from __future__ import annotations

import inspect
import json

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyClass, verifyObject

from tests.unit.fake_node import FakeNode
from voipcluster.services.commands import INodeControl
from voipcluster.services.node.view import NodeView
from voipcluster.voipctl.web_client import WebClient
from voipcluster.web.view import INodeView


class ViewTests(SynchronousTestCase):
    def test_who_has_it(self) -> None:
        """The node's own view and the one of the tests; whoever controls a node also sees it."""
        self.assertTrue(verifyClass(INodeView, NodeView))
        self.assertTrue(verifyObject(INodeView, FakeNode()))
        self.assertTrue(INodeControl.extends(INodeView))

    def test_a_method_that_is_missing(self) -> None:
        """A view without one of them, or with other arguments, is found out before a browser asks for it."""
        methods = {name: method for name, method in vars(NodeView).items() if inspect.isfunction(method)}
        for name in INodeView.names():
            without = {key: method for key, method in methods.items() if key != name}
            for members in (without, without | {name: lambda self, one, two, three: None}):
                view = implementer(INodeView)(type("View", (), members))
                self.assertRaises(Invalid, verifyClass, INodeView, view)

    def test_it_only_reads(self) -> None:
        """What changes a node is not in it: the web page is open to everybody who reaches it."""
        self.assertTrue(INodeView.isOrExtends(Interface))
        self.assertEqual(set(INodeView.names()), set(WebClient._PATHS))
        for name in ("drain", "stop", "forget", "user_add", "unban", "join_token"):
            self.assertNotIn(name, set(INodeView.names(all=True)))

    def test_json_holds_it(self) -> None:
        """What the view of the tests gives is what JSON gives back, so pages and admin socket show the same."""
        node = FakeNode()
        for answer in (
            node.status(),
            node.registrations(None),
            node.calls(None),
            node.explain("1/2@host"),
            node.trace("1/2@host", False),
            node.history(None),
        ):
            self.assertEqual(json.loads(json.dumps(answer)), answer)
