import unittest

from harbor.berths import Berth, Boat, smallest_fit

SHORT = Berth("A1", length_m=10.0, depth_m=2.0)
LONG = Berth("B1", length_m=16.0, depth_m=3.0)


class BerthTest(unittest.TestCase):
    def test_a_boat_of_the_same_length_fits(self):
        self.assertTrue(SHORT.fits(Boat("Tern", 10.0, 1.2)))

    def test_a_keel_needs_water_below_it(self):
        self.assertFalse(SHORT.fits(Boat("Orca", 9.0, 1.8)))

    def test_the_smallest_fitting_berth_is_chosen(self):
        self.assertEqual(SHORT, smallest_fit([LONG, SHORT], Boat("Tern", 8.0, 1.0)))

    def test_no_berth_is_none(self):
        self.assertIsNone(smallest_fit([SHORT], Boat("Whale", 20.0, 1.0)))
