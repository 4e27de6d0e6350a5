import unittest
from datetime import date

from harbor.berths import Berth
from harbor.bookings import BerthTaken, BookingPlan


class BookingTest(unittest.TestCase):
    def setUp(self):
        self.plan = BookingPlan([Berth("A1", 12.0, 2.5), Berth("A2", 12.0, 2.5)])
        self.plan.book("Marlin", "A1", date(2026, 7, 1), date(2026, 7, 4))

    def test_a_taken_night_is_refused(self):
        with self.assertRaises(BerthTaken):
            self.plan.book("Tern", "A1", date(2026, 7, 3), date(2026, 7, 5))

    def test_the_day_of_departure_is_free_again(self):
        booking = self.plan.book("Tern", "A1", date(2026, 7, 4), date(2026, 7, 5))
        self.assertEqual("Tern", booking.boat)

    def test_another_berth_is_free(self):
        self.plan.book("Tern", "A2", date(2026, 7, 1), date(2026, 7, 2))
        self.assertEqual(["A1", "A2"], [b.berth for b in self.plan.on(date(2026, 7, 1))])

    def test_a_stay_without_a_night_is_refused(self):
        with self.assertRaises(ValueError):
            self.plan.book("Tern", "A2", date(2026, 7, 1), date(2026, 7, 1))

    def test_an_unknown_berth_is_refused(self):
        with self.assertRaises(KeyError):
            self.plan.book("Tern", "Z9", date(2026, 7, 1), date(2026, 7, 2))
